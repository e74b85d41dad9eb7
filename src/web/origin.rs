//! Determines from its headers where a request comes from. Pure.
//!
//! A page of another site can make a browser send requests to this server; `Origin` and `Sec-Fetch-Site` reveal it.
//! Behind a proxy, every client has the proxy's address; only headers that the proxy adds reveal it.

use axum::http::{HeaderMap, Uri, header};

use super::host::Host;

/// Whether a browser sent the request for a page of another origin. Other clients send neither header, and a page
/// cannot make them send a request.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let foreign_site =
        headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none");
    let own = Host::of(headers);
    let is_own = |origin: &[u8]| own.is_some() && host_of(origin) == own;
    foreign_site || headers.get_all(header::ORIGIN).iter().any(|origin| !is_own(origin.as_bytes()))
}

/// Whether the request addresses this machine by a loopback name, which no other site can own.
pub(super) fn names_loopback(headers: &HeaderMap, uri: &Uri) -> bool {
    let loopback = |host: Option<Host<'_>>| host.is_some_and(|host| host.is_loopback());
    let target = uri.authority().is_none_or(|target| loopback(Host::parse(target.as_str().as_bytes())));
    target && loopback(Host::of(headers))
}

/// Whether a header shows that a proxy forwarded the request.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| {
        matches!(name.as_str(), "forwarded" | "via" | "x-real-ip")
            || name.as_str().starts_with("x-forwarded-")
    })
}

fn host_of(origin: &[u8]) -> Option<Host<'_>> {
    let host = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"))?;
    Host::parse(host)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_a_single_loopback_host_addresses_this_machine() {
        let honest = headers(&[("host", "localhost")]);
        assert!(names_loopback(&honest, &Uri::from_static("/")));
        assert!(!names_loopback(&honest, &Uri::from_static("http://evil.example/")));
        assert!(!names_loopback(&HeaderMap::new(), &Uri::from_static("/")));
        let mut doubled = honest;
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

    #[test]
    fn the_headers_of_proxies_are_recognized() {
        for name in
            ["forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-anything"]
        {
            assert!(is_forwarded(&headers(&[("host", "localhost"), (name, "x")])), "{name}");
        }
        assert!(!is_forwarded(&headers(&[
            ("host", "localhost"),
            ("x-forwarder", "x"),
            ("user-agent", "via")
        ])));
    }
}
