//! A script, known to the server by its hash.

/// A Lua script.
#[derive(Debug)]
pub struct Script {
    name: &'static str,
    script: redis::Script,
    source: &'static str,
}

impl Script {
    /// A script with this source.
    pub fn new(name: &'static str, source: &'static str) -> Self {
        Self { name, script: redis::Script::new(source), source }
    }

    /// Its name, for messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether its flags say that it writes nothing.
    pub(super) fn is_read(&self) -> bool {
        self.source.lines().next().is_some_and(|flags| flags.starts_with("#!") && flags.contains("no-writes"))
    }

    /// The SHA-1 by which the server knows it.
    pub(super) fn hash(&self) -> &str {
        self.script.get_hash()
    }

    pub(super) fn source(&self) -> &'static str {
        self.source
    }
}
