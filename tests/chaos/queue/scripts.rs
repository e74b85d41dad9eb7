//! The shipped scripts, as the broker sends them: read from its sources, so that a request can be told by its hash.

use std::path::PathBuf;

/// The folder of the scripts.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/queue/broker/redis")
}

/// A file of that folder.
pub(crate) fn source(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).expect("a script")
}

/// What is sent to the server for `NAME.lua`, whose text is `text`.
pub(crate) fn whole(name: &str, text: &str) -> String {
    let list = source("scripts.rs");
    let quoted = format!("\"{name}.lua\" \"");
    let at = list.find(&quoted).unwrap_or_else(|| panic!("scripts.rs has no {name}.lua")) + quoted.len();
    let flags = &list[at..at + list[at..].find('"').expect("quoted")];
    format!("#!lua{flags}\n{}{text}", source("prelude.lua"))
}

/// The hash by which requests name a script.
pub(crate) fn hash(script: &str) -> String {
    redis::Script::new(script).get_hash().to_owned()
}

/// The hash of `NAME.lua` as it is shipped.
pub(crate) fn shipped(name: &str) -> String {
    hash(&whole(name, &source(&format!("{name}.lua"))))
}
