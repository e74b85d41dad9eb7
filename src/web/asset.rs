//! Files embedded in the binary, served with a content hash as their `ETag`.
//!
//! A page links an asset by [`Asset::href`], which contains the hash: the content of that URL never changes, so it is
//! cached forever. The URL without the hash is revalidated each time.

use axum::Router;
use axum::extract::RawQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Makes browsers use the declared content type.
pub const NOSNIFF: (HeaderName, HeaderValue) =
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));

/// The styles every page shares.
pub const LAB_CSS: Asset =
    Asset::new("/assets/lab.css", "text/css; charset=utf-8", include_str!("assets/lab.css"));

/// The icon in a browser's tabs, at the path where browsers look for it by default.
pub const FAVICON: Asset = Asset::new("/favicon.ico", "image/svg+xml", include_str!("assets/favicon.svg"));

/// The script that all live pages share: figures, forms, events.
pub const LIVE_JS: Asset =
    Asset::new("/assets/live.js", "text/javascript; charset=utf-8", include_str!("assets/live.js"));

/// The page of a system that starts, runs, drains and stops.
pub const RUN_JS: Asset =
    Asset::new("/assets/run.js", "text/javascript; charset=utf-8", include_str!("assets/run.js"));

/// What draws strips on a page, and reads them.
pub const CHARTS_JS: Asset =
    Asset::new("/assets/charts.js", "text/javascript; charset=utf-8", include_str!("assets/charts.js"));

/// One embedded file.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static str,
    hash: u64,
}

impl Asset {
    /// An asset at `path`, with `include_str!` as its body.
    pub const fn new(path: &'static str, content_type: &'static str, body: &'static str) -> Self {
        Self { path, content_type, body, hash: fnv1a(body.as_bytes()) }
    }

    /// The content.
    pub const fn body(&self) -> &'static str {
        self.body
    }

    /// The URL to link, which changes with the content.
    pub fn href(&self) -> String {
        format!("{}?{}", self.path, self.version())
    }

    fn version(&self) -> String {
        format!("v={:016x}", self.hash)
    }

    fn answer(&self, query: Option<&str>, headers: &HeaderMap) -> Response {
        let etag = format!("\"{:016x}\"", self.hash);
        let cache = match query {
            Some(query) if query == self.version() => "public, max-age=31536000, immutable",
            _ => "no-cache",
        };
        let known = headers
            .get(header::IF_NONE_MATCH)
            .and_then(|tags| tags.to_str().ok())
            .is_some_and(|tags| tags.split(',').any(|tag| tag.trim().ends_with(&etag)));
        let caching = [(header::ETAG, etag), (header::CACHE_CONTROL, cache.to_owned())];
        if known {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.content_type)];
        (caching, content_type, [NOSNIFF], self.body).into_response()
    }
}

/// Routes that serve `assets`, each at its path.
pub fn assets(assets: &[Asset]) -> Router {
    assets.iter().fold(Router::new(), |router, asset| {
        let asset = *asset;
        let answer = async move |RawQuery(query): RawQuery, headers: HeaderMap| {
            asset.answer(query.as_deref(), &headers)
        };
        router.route(asset.path, get(answer))
    })
}

/// FNV-1a with 64 bits (draft-eastlake-fnv), which is enough to distinguish versions of a file.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        at += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn the_linked_url_is_cached_forever_and_the_bare_path_revalidated() {
        let href = LAB_CSS.href();
        let version = href.split_once('?').unwrap().1;
        let none = HeaderMap::new();
        let cached = |response: &Response| response.headers()[header::CACHE_CONTROL].clone();

        let linked = LAB_CSS.answer(Some(version), &none);
        assert!(cached(&linked).to_str().unwrap().contains("immutable"));
        let bare = LAB_CSS.answer(None, &none);
        assert_eq!(cached(&bare), "no-cache");

        let mut again = HeaderMap::new();
        again.insert(header::IF_NONE_MATCH, bare.headers()[header::ETAG].clone());
        assert_eq!(LAB_CSS.answer(None, &again).status(), StatusCode::NOT_MODIFIED);
    }
}
