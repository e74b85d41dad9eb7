//! The URL of an HTTP server, for every setting that names one.

use std::{fmt, str::FromStr};

use axum::http::{Uri, uri::Scheme};

use super::invalid::{Allowed, Invalid};

/// An absolute `http://` or `https://` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl(Uri);

impl HttpUrl {
    /// The URL as the `Uri` of a request.
    pub const fn uri(&self) -> &Uri {
        &self.0
    }

    /// Whether the scheme is `https`.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }

    /// Appends `path`, which begins with a slash, to this URL without its query.
    ///
    /// # Errors
    /// When `path` is not valid in a URL.
    pub fn below(&self, path: &str) -> Result<Self, Invalid> {
        format!("{}{}{path}", self.origin(), self.0.path().trim_end_matches('/')).parse()
    }

    /// Whether the URL has a path or a query.
    pub fn has_path(&self) -> bool {
        self.0.path() != "/" || self.0.query().is_some()
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> String {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        format!("{}://{authority}", self.0.scheme_str().unwrap_or_default())
    }
}

impl Allowed for HttpUrl {
    const ALLOWED: &'static str = "an http:// or https:// URL without a user, such as http://127.0.0.1:8081/";
}

impl FromStr for HttpUrl {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let uri: Option<Uri> = text.trim().parse().ok();
        uri.filter(is_server).map(Self).ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

fn is_server(uri: &Uri) -> bool {
    let Some(authority) = uri.authority() else {
        return false;
    };
    let port_is_good = match authority.port() {
        Some(port) => port.as_str().parse().is_ok_and(|port: u16| port != 0),
        // A colon without a number after it.
        None => authority.as_str() == authority.host(),
    };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && !authority.host().is_empty()
        // A password here would appear wherever the setting is printed.
        && !authority.as_str().contains('@')
        && port_is_good
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_http_or_https_with_a_host_and_no_user() {
        for good in ["http://127.0.0.1:9/x?y=1", "https://example.com", " http://[::1]:81/ ", "HTTP://h"] {
            assert!(good.parse::<HttpUrl>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "127.0.0.1:9",
            "ftp://x",
            "http://",
            "http:///x",
            "https://",
            "http://u:p@h/",
            "http://h:/",
            "http://h:0/",
            "http://h:99999/",
        ] {
            assert!(bad.parse::<HttpUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_is_put_below_a_url() {
        for (url, whole) in [
            ("http://h:1", "http://h:1/audit"),
            ("http://h:1/", "http://h:1/audit"),
            ("https://h/lab/?x=1", "https://h/lab/audit"),
        ] {
            let url: HttpUrl = url.parse().expect("a URL");
            assert_eq!(url.below("/audit").expect("a URL").to_string(), whole);
        }
    }
}
