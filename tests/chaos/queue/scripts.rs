//! The shipped scripts, as the broker sends them, so that a request can be told by its hash.

/// Names of the files beside `scripts.rs`, with their texts.
macro_rules! files {
    ($($name:literal,)+) => {
        [$(($name, include_str!(concat!("../../../src/queue/broker/redis/", $name)))),+]
    };
}

/// What is told apart or patched here.
const FILES: [(&str, &str); 7] = files![
    "scripts.rs",
    "prelude.lua",
    "enqueue.lua",
    "exchange.lua",
    "promote.lua",
    "reap.lua",
    "beat.lua",
];

/// The text of a file.
pub(crate) fn source(file: &str) -> &'static str {
    let found = FILES.iter().find(|(name, _)| *name == file);
    found.unwrap_or_else(|| panic!("{file} is not in FILES")).1
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
    hash(&whole(name, source(&format!("{name}.lua"))))
}
