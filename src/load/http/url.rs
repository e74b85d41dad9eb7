//! Turns a URL as people write it into the parts of a request: a target of legal characters, a host, and the user as
//! a header. The user is never shown.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The characters that are percent-encoded in a path or a query. A percent sign is not: it may begin an encoded one.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A URL, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Scheme, host, port, path and query.
    pub(super) uri: Uri,
    pub(super) encrypted: bool,
    pub(super) authority: Authority,
    pub(super) port: u16,
    pub(super) path: PathAndQuery,
    /// Basic authentication for the user in the URL (RFC 7617).
    pub(super) authorization: Option<HeaderValue>,
}

impl Url {
    /// Reads `http` and `https` URLs; a fragment is never sent, and is dropped.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = Scheme::try_from(scheme.to_ascii_lowercase().as_str()).ok()?;
        let encrypted = match &scheme {
            scheme if *scheme == Scheme::HTTP => false,
            scheme if *scheme == Scheme::HTTPS => true,
            _ => return None,
        };
        let (rest, _fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let authority: Authority = authority.parse().ok()?;
        if authority.host().is_empty() {
            return None;
        }
        let port = match authority.port() {
            Some(port) => port.as_str().parse().ok().filter(|port| *port != 0)?,
            // An invalid port, such as 99999.
            None if authority.as_str() != authority.host() => return None,
            None if encrypted => 443,
            None => 80,
        };
        let slash = if target.starts_with('/') { "" } else { "/" };
        let path: PathAndQuery = format!("{slash}{}", utf8_percent_encode(target, ENCODED)).parse().ok()?;
        let authorization = match user {
            Some(user) => Some(basic(user)?),
            None => None,
        };
        let uri = Uri::builder().scheme(scheme).authority(authority.clone()).path_and_query(path.clone());
        Some(Self { uri: uri.build().ok()?, encrypted, authority, port, path, authorization })
    }

    /// The host as it is looked up: an IPv6 address without its brackets.
    pub(super) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }
}

/// `user:password`, each percent-encoded if necessary.
fn basic(user: &str) -> Option<HeaderValue> {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let mut plain: Vec<u8> = percent_decode_str(name).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_as_people_write_it_becomes_a_request_target() {
        for (text, uri) in [
            ("http://h", "http://h/"),
            ("HTTP://h:81?a=1", "http://h:81/?a=1"),
            ("http://h?q=ü", "http://h/?q=%C3%BC"),
            ("https://h/a b?c d#e f", "https://h/a%20b?c%20d"),
            ("http://h/%7Ea?b=%20&c=a+b", "http://h/%7Ea?b=%20&c=a+b"),
            ("http://h/{id}|\\", "http://h/%7Bid%7D%7C%5C"),
            ("http://h?", "http://h/?"),
            ("http://[::1]:81/x*y", "http://[::1]:81/x*y"),
            ("http://h/a?mail=a@b", "http://h/a?mail=a@b"),
        ] {
            let url = Url::read(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((url.uri.to_string().as_str(), url.authorization), (uri, None), "{text}");
        }
        for bad in [
            "",
            "h",
            "ftp://h/",
            "http://",
            "http:///x",
            "http://h:0/",
            "http://h:99999/",
            "http://h:/",
            "http://a b/",
            "http://ü/",
        ] {
            assert_eq!(Url::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_user_becomes_a_header_and_is_not_shown() {
        for (user, plain) in [("u:p", "u:p"), ("u", "u:"), ("u%40x:p%3A:q", "u@x:p::q"), ("u:p@q", "u:p@q")] {
            let url = Url::read(&format!("http://{user}@h:81/")).unwrap();
            let value = format!("Basic {}", BASE64_STANDARD.encode(plain));
            assert_eq!(url.authorization.as_ref().unwrap(), value.as_str());
            assert_eq!(url.uri.to_string(), "http://h:81/");
            assert!(!format!("{url:?}").contains(&value), "{url:?}");
        }
    }
}
