//! Where a request says it comes from, and whom it says it addresses. Pure.
//!
//! A page of another site can make a browser send requests here, and with DNS rebinding even under a
//! name of that site's own. The first shows in `Origin` and `Sec-Fetch-Site`, the second in `Host`.

use std::net::IpAddr;

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri, header};

/// Whether a browser sent this on behalf of a page of another origin. Clients other than browsers send
/// neither header, and cannot be misled into sending a request.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let foreign_site =
        headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none");
    let own = host(headers);
    let foreign_origin =
        headers.get_all(header::ORIGIN).iter().any(|origin| match (authority_of(origin.as_bytes()), &own) {
            (Some(origin), Some(own)) => origin != *own,
            _ => true,
        });
    foreign_site || foreign_origin
}

/// Whether the request addresses this machine by a name that no one else can own.
pub(super) fn names_loopback(headers: &HeaderMap, uri: &Uri) -> bool {
    let target = uri.authority().is_none_or(is_loopback);
    target && host(headers).is_some_and(|host| is_loopback(&host))
}

/// The one `Host`; two are one too many.
fn host(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next()?;
    match hosts.next() {
        None => Authority::try_from(host.as_bytes()).ok(),
        Some(_) => None,
    }
}

fn authority_of(origin: &[u8]) -> Option<Authority> {
    let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"))?;
    Authority::try_from(authority).ok()
}

fn is_loopback(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || bare.unwrap_or(host).parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_names_nobody_else_can_own_are_loopback() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("127.0.0.1:8080", true),
            ("127.9.9.9", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]", true),
            ("evil.example", false),
            ("localhost.evil.example:8080", false),
            ("127.0.0.1.evil.example", false),
            ("user@localhost", false),
            ("10.0.0.1", false),
            ("[::2]", false),
            ("", false),
        ] {
            let headers = headers(&[("host", host)]);
            assert_eq!(names_loopback(&headers, &Uri::from_static("/")), expected, "{host}");
        }
        assert!(!names_loopback(&HeaderMap::new(), &Uri::from_static("/")));
        let honest = headers(&[("host", "localhost")]);
        let absolute = Uri::from_static("http://evil.example/");
        assert!(!names_loopback(&honest, &absolute));
        let mut doubled = headers(&[("host", "localhost")]);
        doubled.append(header::HOST, "evil.example".parse().unwrap());
        assert!(!names_loopback(&doubled, &Uri::from_static("/")));
    }

    #[test]
    fn another_origin_is_foreign() {
        let host = ("host", "localhost:8080");
        for (name, value, expected) in [
            ("origin", "http://localhost:8080", false),
            ("origin", "http://LOCALHOST:8080", false),
            ("origin", "http://localhost:9090", true),
            ("origin", "https://evil.example", true),
            ("origin", "null", true),
            ("sec-fetch-site", "same-origin", false),
            ("sec-fetch-site", "none", false),
            ("sec-fetch-site", "same-site", true),
            ("sec-fetch-site", "cross-site", true),
        ] {
            let headers = headers(&[host, (name, value)]);
            assert_eq!(is_foreign(&headers), expected, "{name}: {value}");
        }
        assert!(!is_foreign(&headers(&[host])));
        assert!(is_foreign(&headers(&[("origin", "http://localhost:8080")])));
    }
}
