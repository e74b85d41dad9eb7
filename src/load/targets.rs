//! What to ask for: one or more targets, in rotation.

use std::sync::Arc;

use hyper::Uri;

/// At least one target to `GET`: a path with an optional query. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets(Arc<[Uri]>);

/// There was nothing to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at least one target is needed")]
pub struct NoTarget;

impl Targets {
    /// The target whose turn it is.
    #[must_use]
    pub fn at(&self, turn: usize) -> &Uri {
        // Never empty: both ways to make one see to that.
        &self.0[turn % self.0.len()]
    }
}

impl From<Uri> for Targets {
    fn from(target: Uri) -> Self {
        Self(Arc::new([target]))
    }
}

impl TryFrom<Vec<Uri>> for Targets {
    type Error = NoTarget;

    fn try_from(targets: Vec<Uri>) -> Result<Self, NoTarget> {
        if targets.is_empty() {
            return Err(NoTarget);
        }
        Ok(Self(targets.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round() {
        let uris = ["/a", "/b"].map(Uri::from_static);
        let targets = Targets::try_from(uris.to_vec()).unwrap();
        let paths: Vec<_> = (0..5).map(|turn| targets.at(turn).path()).collect();
        assert_eq!(paths, ["/a", "/b", "/a", "/b", "/a"]);
        assert_eq!(Targets::try_from(Vec::new()), Err(NoTarget));
    }
}
