//! A target: a URL with its method, headers, body and weight.

use std::fmt;
use std::str::FromStr;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri, Version};

use super::connect::Address;
use super::header::{HOST_ALLOWED, Header, Misfit};
use super::settings::Protocol;
use super::url::Url;
use crate::config::{Allowed, Invalid};

/// The highest weight.
const WEIGHT_LIMIT: u32 = 1_000;

/// One URL with its weight.
#[derive(Clone, Debug)]
pub struct Target {
    url: Uri,
    address: Address,
    weight: u32,
    template: Template,
}

/// The request that is sent to a target each time.
#[derive(Clone, Debug)]
pub struct Template {
    method: Method,
    /// With scheme and authority, as HTTP/2 wants it.
    whole: Uri,
    /// The path with its query, as HTTP/1.1 wants it.
    path: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Allowed for Target {
    const ALLOWED: &'static str = "an http:// or https:// URL, with WEIGHT* before it for a weight \
         of 1 to 1000, such as http://127.0.0.1:8080/sync or 3*https://localhost/";
}

impl FromStr for Target {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        read(text.trim()).ok_or_else(|| Invalid::new(text, Self::ALLOWED))
    }
}

fn read(text: &str) -> Option<Target> {
    let (weight, url) = match text.split_once('*') {
        Some((weight, url)) if !weight.contains('/') => (weight.trim().parse().ok()?, url),
        _ => (1, text),
    };
    let url = Url::read(url)?;
    if !(1..=WEIGHT_LIMIT).contains(&weight) {
        return None;
    }
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_str(url.authority.as_str()).ok()?);
    if let Some(authorization) = &url.authorization {
        headers.insert(AUTHORIZATION, authorization.clone());
    }
    let address = Address { host: url.host().to_owned(), port: url.port, encrypted: url.encrypted };
    let template = Template {
        method: Method::GET,
        whole: url.uri.clone(),
        path: url.path.into(),
        headers,
        body: Bytes::new(),
    };
    Some(Target { url: url.uri, address, weight, template })
}

impl Target {
    /// The same URL with this method, these headers beside `Host`, and this body. A `Host` among the headers becomes
    /// the authority in HTTP/2.
    ///
    /// # Errors
    /// A header that would not reach the server unchanged over `protocol`.
    pub fn asking(
        mut self,
        method: Method,
        headers: &[Header],
        body: Bytes,
        protocol: Protocol,
    ) -> Result<Self, Misfit> {
        let may_be_http2 = protocol == Protocol::Http2 || protocol == Protocol::Auto && self.is_encrypted();
        self.template.method = method;
        self.template.body = body;
        let names_user = self.template.headers.contains_key(AUTHORIZATION);
        let mut named: Vec<&HeaderName> = Vec::new();
        for header in headers {
            header.check(self.template.body.len(), may_be_http2)?;
            let Header(name, value) = header;
            if *name == AUTHORIZATION && names_user {
                return Err(header.misfit("the URL names a user too"));
            }
            // The first header of a name replaces the default; further ones of that name are added.
            if !named.contains(&name) {
                self.template.headers.insert(name, value.clone());
                named.push(name);
            } else if header.stands_once() {
                return Err(header.misfit("it is given twice"));
            } else {
                self.template.headers.append(name, value.clone());
            }
            if let Some(authority) = header.authority() {
                let mut parts = self.template.whole.into_parts();
                parts.authority = Some(authority);
                self.template.whole = Uri::from_parts(parts).map_err(|_| header.misfit(HOST_ALLOWED))?;
            }
        }
        Ok(self)
    }

    /// Whether it has a weight other than 1.
    #[must_use]
    pub const fn is_weighted(&self) -> bool {
        self.weight != 1
    }

    /// Whether the URL names a user.
    #[must_use]
    pub fn names_user(&self) -> bool {
        self.template.headers.contains_key(AUTHORIZATION)
    }

    /// Whether it uses TLS.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.address.encrypted
    }

    pub(super) fn address(&self) -> Address {
        self.address.clone()
    }

    pub(super) const fn template(&self) -> &Template {
        &self.template
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.weight > 1 {
            write!(f, "{}*", self.weight)?;
        }
        self.url.fmt(f)
    }
}

impl Template {
    pub(super) const fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// The request in HTTP/1.1; `headers` is an empty map to use.
    pub(super) fn http1(&self, mut headers: HeaderMap) -> Request<Full<Bytes>> {
        headers.extend(self.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        self.request(self.path.clone(), headers)
    }

    /// The request in HTTP/2.
    pub(super) fn http2(&self) -> Request<Full<Bytes>> {
        let mut headers = self.headers.clone();
        headers.remove(HOST);
        let mut request = self.request(self.whole.clone(), headers);
        *request.version_mut() = Version::HTTP_2;
        request
    }

    fn request(&self, uri: Uri, headers: HeaderMap) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request
    }
}

/// The targets' places in the order of their turns: each as often as its weight, spread evenly (smooth weighted
/// round robin, as in nginx: all gain their weight, the highest has its turn and pays the sum).
pub(super) fn rotation(targets: &[Target]) -> Vec<usize> {
    let weights: Vec<i64> = targets.iter().map(|target| i64::from(target.weight)).collect();
    let sum: i64 = weights.iter().sum();
    let mut credits = vec![0_i64; targets.len()];
    let mut turns = Vec::new();
    for _ in 0..sum {
        for (credit, weight) in credits.iter_mut().zip(&weights) {
            *credit += weight;
        }
        // The first of equals.
        let next = (0..targets.len()).rev().max_by_key(|place| credits[*place]);
        if let Some(next) = next {
            credits[next] -= sum;
            turns.push(next);
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_with_their_weight() {
        let target: Target = "3*https://localhost/a?b=c".parse().unwrap();
        assert_eq!((target.weight, target.address.port, target.is_encrypted()), (3, 443, true));
        assert_eq!(target.to_string(), "3*https://localhost/a?b=c");
        let target: Target = "http://[::1]:81/x*y".parse().unwrap();
        assert_eq!((target.address.host.as_str(), target.address.port, target.weight), ("::1", 81, 1));
        let request = target.template.http1(HeaderMap::new());
        assert_eq!(
            (request.uri().to_string().as_str(), &request.headers()["host"]),
            ("/x*y", &"[::1]:81".parse().unwrap())
        );
        assert_eq!("http://h".parse::<Target>().unwrap().template.http1(HeaderMap::new()).uri(), "/");
        for bad in ["", "h", "0*http://h/", "1001*http://h/", "x*http://h/"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_replace_and_repeat() {
        let headers: Vec<Header> =
            ["host: other:81", "x-a: 1", "X-A: 2"].map(|text| text.parse().unwrap()).into();
        let target: Target = "http://h/".parse().unwrap();
        let template = target.asking(Method::PUT, &headers, "body".into(), Protocol::Http2).unwrap().template;
        let request = template.http1(HeaderMap::new());
        assert_eq!(request.headers()["host"], "other:81");
        assert_eq!(request.headers().get_all("x-a").iter().count(), 2);
        let http2 = template.http2();
        assert_eq!(
            (http2.uri().to_string().as_str(), http2.headers().get("host")),
            ("http://other:81/", None)
        );
    }

    #[test]
    fn turns_follow_weights_and_are_spread() {
        let targets: Vec<Target> =
            ["3*http://a/", "http://b/", "http://c/"].map(|url| url.parse().unwrap()).into();
        let turns: String =
            rotation(&targets).iter().map(|place| targets[*place].address.host.as_str()).collect();
        assert_eq!(turns, "abaca");
    }
}
