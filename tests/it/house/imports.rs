//! Imports go down only, and files make no circle.
//!
//! The sources are parsed, and each path in them is followed to the file that defines what it names:
//!
//! ```text
//!   file ──syn──> modules (items, imports, children) and the paths that it names
//!   path ──through modules, re-exports, globs──> the defining file: an arrow
//! ```
//!
//! An item's file is where it is written: who reaches a sibling by a re-export in `mod.rs` has an arrow to the
//! sibling, not to `mod.rs`; a re-export itself is none, nor is a module's declaration, nor the bare import of a
//! module. Tests may come in by the front door of their room: in them an arrow makes no circle. The paths in macros and attributes count, also in texts of serde's attributes. A method's file is not
//! known without types: what is only reached by a method call is not seen.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path as FilePath,
};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{
    Attribute, Item, ItemMacro, ItemMod, ItemUse, Macro, Path, UseTree, Visibility,
    spanned::Spanned as _,
    visit::{self, Visit},
};

use super::{files, read};

/// The layers from the top; a room may name only rooms of lower layers.
const LAYERS: [&[&str]; 8] = [
    &["main", "cli"],
    &["app"],
    &["experiment"],
    &["http_lab", "streams", "pipeline", "queue", "analytics"],
    &["load", "theory", "sim", "storage", "web"],
    &["client", "exec"],
    &["telemetry", "latency"],
    &["config", "shutdown", "output", "input"],
];

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// A module's name from the crate's root on.
type Key = Vec<String>;

/// A path as it is written, from its first name on.
#[derive(Debug, Clone)]
struct Named {
    line: usize,
    names: Vec<String>,
    in_test: bool,
}

#[derive(Debug, Default)]
struct Module {
    file: String,
    /// What is defined here.
    items: BTreeSet<String>,
    /// What is imported here, by its name here.
    imports: BTreeMap<String, Vec<String>>,
    /// The paths before `::*`.
    globs: Vec<Vec<String>>,
    named: Vec<Named>,
}

/// Where a name leads.
#[derive(Debug, Clone, PartialEq)]
enum Place {
    File(String),
    Module(Key),
    /// Out of the crate.
    Outside,
}

#[derive(Debug, Default)]
struct Graph {
    modules: BTreeMap<Key, Module>,
    /// Exported macros stand at the root, whatever file defines them.
    macros: BTreeMap<String, String>,
}

/// An arrow from a file to another, with the line that makes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
    line: usize,
    in_test: bool,
}

/// Reads one file into the modules that it holds.
struct Reader<'a> {
    graph: &'a mut Graph,
    file: &'a str,
    at: Key,
    in_test: bool,
}

impl Reader<'_> {
    fn module(&mut self) -> &mut Module {
        for above in 0..self.at.len() {
            self.graph.modules.entry(self.at[..above].to_vec()).or_default();
        }
        let module = self.graph.modules.entry(self.at.clone()).or_default();
        self.file.clone_into(&mut module.file);
        module
    }

    fn define(&mut self, name: &Ident) {
        let name = name.to_string();
        self.module().items.insert(name);
    }

    fn name(&mut self, line: usize, names: Vec<String>) {
        let in_test = self.in_test;
        self.module().named.push(Named { line, names, in_test });
    }

    fn import(&mut self, tree: &UseTree, before: &[String], public: bool) {
        let with = |name: &Ident| {
            let before = before.iter().cloned();
            if name == "self" {
                before.collect()
            } else {
                before.chain([name.to_string()]).collect::<Vec<_>>()
            }
        };
        let (name, names, line) = match tree {
            UseTree::Path(path) => return self.import(&path.tree, &with(&path.ident), public),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, before, public));
            }
            UseTree::Glob(glob) => {
                self.module().globs.push(before.to_vec());
                let names = before.iter().cloned().chain(["*".to_owned()]).collect();
                return self.name(glob.span().start().line, names);
            }
            UseTree::Name(name) => {
                let names = with(&name.ident);
                (names.last().cloned().unwrap_or_default(), names, name.span().start().line)
            }
            UseTree::Rename(rename) => {
                (rename.rename.to_string(), with(&rename.ident), rename.span().start().line)
            }
        };
        // `use a as a` in a macro of that name would lead to itself.
        if names != [name.clone()] {
            self.module().imports.insert(name, names.clone());
        }
        if !public {
            self.name(line, names);
        }
    }

    /// The paths in the tokens of a macro or an attribute.
    fn tokens(&mut self, tokens: TokenStream, before: &[String]) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, mark: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == mark);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream(), before),
                TokenTree::Ident(first) if at == 0 || !(is(at - 1, '.') || is(at - 1, '\'')) => {
                    let line = first.span().start().line;
                    let mut names: Vec<String> = before.to_vec();
                    names.push(first.to_string());
                    let mut listed = false;
                    while is(at + 1, ':') && is(at + 2, ':') {
                        match tokens.get(at + 3) {
                            Some(TokenTree::Ident(next)) => names.push(next.to_string()),
                            Some(TokenTree::Group(group)) => {
                                self.tokens(group.stream(), &names);
                                listed = true;
                            }
                            _ => break,
                        }
                        at += 3;
                    }
                    if !listed {
                        self.name(line, names);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let outer = self.in_test;
        self.in_test |= is_test(attributes(item));
        match item {
            Item::Const(item) => self.define(&item.ident),
            Item::Enum(item) => self.define(&item.ident),
            Item::Fn(item) => self.define(&item.sig.ident),
            Item::Static(item) => self.define(&item.ident),
            Item::Struct(item) => self.define(&item.ident),
            Item::Trait(item) => self.define(&item.ident),
            Item::Type(item) => self.define(&item.ident),
            Item::Union(item) => self.define(&item.ident),
            _ => {}
        }
        visit::visit_item(self, item);
        self.in_test = outer;
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if item.content.is_some() {
            self.at.push(item.ident.to_string());
            self.module();
            visit::visit_item_mod(self, item);
            self.at.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let public = !matches!(item.vis, Visibility::Inherited);
        self.import(&item.tree, &[], public);
    }

    fn visit_item_macro(&mut self, item: &'ast ItemMacro) {
        if let Some(name) = &item.ident {
            self.define(name);
            if item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")) {
                self.graph.macros.insert(name.to_string(), self.file.to_owned());
            }
        }
        visit::visit_item_macro(self, item);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.visit_path(&called.path);
        self.tokens(called.tokens.clone(), &[]);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            syn::Meta::List(list) => {
                if attribute.path().is_ident("serde") {
                    self.texts(list.tokens.clone());
                }
                self.tokens(list.tokens.clone(), &[]);
            }
            syn::Meta::NameValue(pair) if !attribute.path().is_ident("doc") => self.visit_expr(&pair.value),
            _ => {}
        }
    }

    fn visit_path(&mut self, path: &'ast Path) {
        let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if path.leading_colon.is_none() {
            self.name(path.span().start().line, names);
        }
        visit::visit_path(self, path);
    }

    /// `pub(in crate::a)` names a module and uses nothing of it.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

impl Reader<'_> {
    /// The paths in texts, as serde takes them.
    fn texts(&mut self, tokens: TokenStream) {
        for token in tokens {
            if let TokenTree::Literal(literal) = &token
                && let Ok(text) = syn::parse2::<syn::LitStr>(token.clone().into())
                && let Ok(path) = text.parse::<Path>()
            {
                let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                self.name(literal.span().start().line, names);
            }
        }
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether one is `#[cfg(test)]`.
fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// The modules of a file that are there for tests only.
fn test_modules(path: &str, file: &syn::File) -> Vec<Key> {
    let tests = file.items.iter().filter(|item| is_test(attributes(item)));
    let below = |item: &Item| match item {
        Item::Mod(module) => Some(key(path)?.into_iter().chain([module.ident.to_string()]).collect()),
        _ => None,
    };
    tests.filter_map(below).collect()
}

/// The modules of a file whose own files are named by `#[path = "FILE"]`: file and module.
fn elsewhere(path: &str, file: &syn::File) -> Vec<(String, Key)> {
    let folder = FilePath::new(path).parent().unwrap_or(FilePath::new(""));
    let mut found = Vec::new();
    for item in &file.items {
        let Item::Mod(module) = item else { continue };
        for pair in module.attrs.iter().filter_map(|attribute| attribute.meta.require_name_value().ok()) {
            if let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value
                && pair.path.is_ident("path")
            {
                let below = key(path).into_iter().flatten().chain([module.ident.to_string()]).collect();
                found.push((folder.join(text.value()).to_string_lossy().into_owned(), below));
            }
        }
    }
    found
}

impl Graph {
    /// Reads sources, each with its path.
    fn read<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let parsed: Vec<(&str, syn::File)> = sources
            .into_iter()
            .filter(|(path, _)| key(path).is_some())
            .map(|(path, source)| {
                (path, syn::parse_file(source).unwrap_or_else(|error| panic!("{path}: {error}")))
            })
            .collect();
        let elsewhere: BTreeMap<String, Key> =
            parsed.iter().flat_map(|(path, file)| elsewhere(path, file)).collect();
        let tests: Vec<Key> = parsed.iter().flat_map(|(path, file)| test_modules(path, file)).collect();
        let mut graph = Self::default();
        for (path, file) in &parsed {
            let at = elsewhere.get(*path).cloned().or_else(|| key(path)).unwrap_or_default();
            let in_test = tests.iter().any(|test| at.starts_with(test));
            let mut reader = Reader { graph: &mut graph, file: path, at, in_test };
            reader.module();
            reader.visit_file(file);
        }
        graph
    }

    /// What a name is in a module: its child, its item, its import, or found through its globs.
    fn look_up(&self, at: &Key, name: &str, depth: usize) -> Option<Place> {
        let child: Key = at.iter().cloned().chain([name.to_owned()]).collect();
        if self.modules.contains_key(&child) {
            return Some(Place::Module(child));
        }
        if at.is_empty()
            && let Some(file) = self.macros.get(name)
        {
            return Some(Place::File(file.clone()));
        }
        let module = self.modules.get(at)?;
        if module.items.contains(name) {
            return Some(Place::File(module.file.clone()));
        }
        // Imports that lead to themselves end here.
        if depth == 0 {
            return None;
        }
        if let Some(names) = module.imports.get(name) {
            return Some(self.follow(at, names, depth - 1).unwrap_or(Place::Outside));
        }
        module.globs.iter().find_map(|glob| match self.follow(at, glob, depth - 1)? {
            Place::Module(module) => self.look_up(&module, name, depth - 1),
            _ => None,
        })
    }

    /// Where a path leads from a module; nothing when its first name is none of the crate's.
    fn follow(&self, from: &Key, names: &[String], depth: usize) -> Option<Place> {
        let (first, mut rest) = names.split_first()?;
        let mut place = match first.as_str() {
            "crate" | "lab" => Place::Module(Key::new()),
            "self" => Place::Module(from.clone()),
            "super" => {
                let mut above = from.clone();
                above.pop();
                while let Some(("super", further)) =
                    rest.split_first().map(|(name, rest)| (name.as_str(), rest))
                {
                    above.pop();
                    rest = further;
                }
                Place::Module(above)
            }
            name => self.look_up(from, name, depth)?,
        };
        for name in rest {
            place = match place {
                Place::Module(module) => match self.look_up(&module, name, depth) {
                    Some(place) => place,
                    // Made by a macro that stands there.
                    None => Place::File(self.modules.get(&module).map(|at| at.file.clone())?),
                },
                known => return Some(known),
            };
        }
        Some(place)
    }

    fn arrows(&self) -> BTreeSet<Arrow> {
        let mut arrows = BTreeSet::new();
        for (at, module) in &self.modules {
            for Named { line, names, in_test } in &module.named {
                let place = match names.split_last() {
                    // The names that it brings are followed where they are used.
                    Some((last, _)) if last == "*" => None,
                    _ => self.follow(at, names, 16),
                };
                if let Some(Place::File(to)) =
                    place.filter(|place| *place != Place::File(module.file.clone()))
                {
                    arrows.insert(Arrow { from: module.file.clone(), to, line: *line, in_test: *in_test });
                }
            }
        }
        // The root only declares; a module above the sources of a test has no file.
        arrows.retain(|arrow| arrow.from != "src/lib.rs" && !arrow.to.is_empty());
        arrows
    }

    /// What names a room that it must not, by its path or through re-exports.
    fn upward(&self) -> BTreeSet<String> {
        let mut faults = BTreeSet::new();
        let mut judge = |from: &str, line: usize, to: &str| {
            let own = room(from).unwrap_or_default();
            let Some(level) = layer(own) else {
                faults.insert(format!("{from}:1: the room `{own}` is in no layer"));
                return;
            };
            let why = match layer(to) {
                _ if to == own => return,
                Some(there) if there > level => return,
                // `main` is the one file that may name its own layer.
                Some(there) if there == level && own == "main" => return,
                Some(there) if there == level => {
                    "stands beside it: what two need moves down, what joins two up"
                }
                Some(_) => "stands above it",
                None => "is in no layer",
            };
            faults.insert(format!("{from}:{line}: `{own}` names `{to}`, which {why}"));
        };
        for (at, module) in
            self.modules.iter().filter(|(_, module)| !["", "src/lib.rs"].contains(&module.file.as_str()))
        {
            judge(&module.file, 1, room(&module.file).unwrap_or_default());
            for Named { line, names, .. } in &module.named {
                if let Some(named) = at_root(at, names) {
                    let named = self.macros.get(named).and_then(|file| room(file)).unwrap_or(named);
                    judge(&module.file, *line, named);
                }
            }
        }
        for Arrow { from, to, line, .. } in self.arrows() {
            judge(&from, line, room(&to).unwrap_or_default());
        }
        faults
    }

    /// Files that reach each other: each circle with its arrows, the first line of each.
    fn circles(&self) -> Vec<(BTreeSet<String>, Vec<Arrow>)> {
        let mut arrows: Vec<Arrow> = self.arrows().into_iter().filter(|arrow| !arrow.in_test).collect();
        arrows.dedup_by(|next, first| (&next.from, &next.to) == (&first.from, &first.to));
        let reached = |from: &str| {
            let mut reached = BTreeSet::new();
            let mut open = vec![from.to_owned()];
            while let Some(file) = open.pop() {
                let next = arrows.iter().filter(|arrow| arrow.from == file).map(|arrow| arrow.to.clone());
                open.extend(next.filter(|file| reached.insert(file.clone())));
            }
            reached
        };
        let all: BTreeSet<&String> = arrows.iter().map(|arrow| &arrow.from).collect();
        let reached: BTreeMap<&String, BTreeSet<String>> =
            all.iter().map(|file| (*file, reached(file))).collect();
        let together = |a: &String, b: &String| {
            reached[a].contains(b) && reached.get(b).is_some_and(|back| back.contains(a))
        };
        let mut circles = Vec::new();
        let mut known = BTreeSet::new();
        for file in all {
            if together(file, file) && known.insert(file.clone()) {
                let circle: BTreeSet<String> =
                    reached[file].iter().filter(|other| together(file, other)).cloned().collect();
                known.extend(circle.iter().cloned());
                let inside = |arrow: &&Arrow| circle.contains(&arrow.from) && circle.contains(&arrow.to);
                let own = arrows.iter().filter(inside).cloned().collect();
                circles.push((circle, own));
            }
        }
        circles
    }
}

/// The modules that a file of `src` stands in, its room first.
fn key(path: &str) -> Option<Key> {
    let mut parts: Key =
        path.strip_prefix("src/")?.strip_suffix(".rs")?.split('/').map(str::to_owned).collect();
    parts.pop_if(|last| last == "mod" || last == "lib");
    Some(parts)
}

fn room(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split(['/', '.']).next()
}

/// What a path names at the crate's root: `crate::a`, or as many `super` as there are modules.
fn at_root<'a>(at: &Key, names: &'a [String]) -> Option<&'a str> {
    let supers = names.iter().take_while(|name| *name == "super").count();
    let first = match names.first()?.as_str() {
        "crate" => 1,
        // Alone it is a variable's name.
        "lab" if names.len() > 1 => 1,
        "super" if supers == at.len() => supers,
        _ => return None,
    };
    Some(names.get(first).map_or("crate", String::as_str))
}

fn sources() -> Vec<(&'static str, String)> {
    let rust = files().iter().filter(|path| path.starts_with("src/") && path.ends_with(".rs"));
    rust.map(|path| (path.as_str(), read(path))).collect()
}

fn product() -> Graph {
    let sources = sources();
    Graph::read(sources.iter().map(|(path, source)| (*path, source.as_str())))
}

#[test]
fn imports_go_down_only_and_files_make_no_circle() {
    let graph = product();
    let mut faults = graph.upward();
    for (circle, arrows) in graph.circles() {
        let arrows = arrows.iter().map(|arrow| format!("\n  {}:{} -> {}", arrow.from, arrow.line, arrow.to));
        faults.insert(format!("a circle of {} files:{}", circle.len(), arrows.collect::<String>()));
    }
    assert!(faults.is_empty(), "\n{}", faults.into_iter().collect::<Vec<_>>().join("\n"));
}

/// The graph of some sources beside files that hold what they name.
fn graph(sources: &[(&str, &str)]) -> Graph {
    let beside =
        [("src/sim/b.rs", "#[macro_export]\nmacro_rules! drawn { () => {} }\nmacro_rules! own { () => {} }")];
    Graph::read(sources.iter().chain(&beside).copied())
}

/// The lines and names that are found in a file, without the words around them.
fn check(path: &str, source: &str, expect: &[(usize, &str)]) {
    let found = graph(&[(path, source)]).upward();
    assert_eq!(found.len(), expect.len(), "{path}: {source}: {found:?}");
    for (fault, (line, name)) in found.iter().zip(expect) {
        assert!(fault.starts_with(&format!("{path}:{line}: ")), "{fault}");
        assert!(fault.contains(&format!("`{name}`")), "{fault}");
    }
}

#[test]
fn an_import_of_a_higher_room_is_found() {
    check("src/web/serve.rs", "use crate::http_lab::X;", &[(1, "http_lab")]);
    check("src/sim/a.rs", "//! crate::app\n\nuse crate::{config::A, web::{B, C}};", &[(3, "web")]);
    check("src/sim/a.rs", "use crate::{\n    config::A,\n    app,\n};", &[(3, "app")]);
    check("src/streams/a.rs", "fn f() { crate::http_lab::g() }", &[(1, "http_lab")]);
    check("src/config.rs", "use lab::shutdown::A;", &[(1, "shutdown")]);
    check("src/app/mod.rs", "use crate::{cli};", &[(1, "cli")]);
    check("src/latency/a.rs", "crate::drawn!();", &[(1, "sim")]);
    check("src/app/a.rs", "fn f() { crate::drawn!(); crate::own!(); }", &[(1, "own")]);
    check("src/rogue.rs", "", &[(1, "rogue")]);
    check("src/web/a.rs", "use crate::rogue::X;", &[(1, "rogue")]);
    check("src/web/a.rs", "use crate::*;", &[(1, "*")]);
    check("src/web/a.rs", "use crate as all;", &[(1, "crate")]);
    check("src/web/a.rs", "use super::super::app::X;", &[(1, "app")]);
    check("src/web/a.rs", "mod tests { use super::super::super::app::X; }", &[(1, "app")]);
    check("src/web/mod.rs", "use super::{app, config};", &[(1, "app")]);
    check("src/web/a.rs", "fn f<'a>(x: &'a crate::app::X) {}", &[(1, "app")]);
    check("src/web/a.rs", "macro_rules! m { () => { $crate::app::x() } }", &[(1, "app")]);
    check("src/web/a.rs", "fn f() {\n    vec![format!(\"{}\", crate::app::x())];\n}", &[(2, "app")]);
    check("src/web/a.rs", "fn f() { g!(crate::{config::A, app::{B, C}}) }", &[(1, "app")]);
    check("src/web/a.rs", "#[derive(S)]\n#[openapi(paths(crate::app::x))]\nstruct A;", &[(2, "app")]);
    check(
        "src/web/a.rs",
        "struct A {\n    #[serde(with = \"crate::app::text\")]\n    a: u8,\n}",
        &[(2, "app")],
    );
    check(
        "src/web/a.rs",
        "impl crate::app::A for B {} fn f() -> impl Fn(<C as crate::load::D>::E) {}",
        &[(1, "app"), (1, "load")],
    );
}

#[test]
fn an_import_of_a_lower_room_is_allowed() {
    for (path, source) in [
        ("src/web/a.rs", "use crate::{shutdown::Shutdown, web::B}; // crate::app"),
        ("src/web/a.rs", "const TEXT: &str = \"one\\\n crate::app\n\";"),
        ("src/web/a.rs", "pub(crate) fn f() {} pub(in crate::web) fn g() {}"),
        ("src/web/a.rs", "use other::crate_::app; use super::app; use self::app::X;"),
        ("src/web/a.rs", "mod tests { use super::super::ErrorCounts; }"),
        ("src/web/mod.rs", "mod tests { use super::*; }"),
        ("src/web/a.rs", "fn f() { g!(\"crate::app\", other.app, ::other::app) }"),
        ("src/main.rs", "use lab::{app::{self, Ending}, cli::{self, Stop}};"),
        ("src/lib.rs", "pub mod app;"),
        ("tests/it/a.rs", "use lab::app::X;"),
    ] {
        check(path, source, &[]);
    }
}

#[test]
fn an_import_of_a_higher_room_through_a_lower_one_is_found() {
    let up = [
        ("src/app/mod.rs", "pub struct A;"),
        ("src/config.rs", "pub use crate::app::A;"),
        ("src/web/a.rs", "use crate::config::A;"),
    ];
    let found: Vec<String> = graph(&up).upward().into_iter().collect();
    assert_eq!(found, ["src/web/a.rs:1: `web` names `app`, which stands above it"]);
}

/// The circles among the files of a room `web`, each file by its name.
fn check_circles(sources: &[(&str, &str)], expect: &[&[&str]]) {
    let sources: Vec<(String, &str)> =
        sources.iter().map(|(name, source)| (format!("src/web/{name}.rs"), *source)).collect();
    let sources: Vec<(&str, &str)> = sources.iter().map(|(path, source)| (path.as_str(), *source)).collect();
    let circles = graph(&sources).circles();
    let name = |path: &String| path.trim_start_matches("src/web/").trim_end_matches(".rs").to_owned();
    let found: Vec<Vec<String>> = circles.iter().map(|(files, _)| files.iter().map(name).collect()).collect();
    assert_eq!(found, expect, "{sources:?}");
}

#[test]
fn files_that_reach_each_other_are_a_circle() {
    let (a, b) = ("use super::b::B; pub struct A;", "pub struct B;");
    check_circles(&[("a", a), ("b", b)], &[]);
    check_circles(&[("a", a), ("b", "pub struct B(super::a::A);")], &[&["a", "b"]]);
    check_circles(
        &[("a", a), ("b", "use super::c::C; pub struct B;"), ("c", "use crate::web::a; struct C(a::A);")],
        &[&["a", "b", "c"]],
    );
    check_circles(
        &[("a", a), ("b", "use super::A; pub struct B;"), ("mod", "mod a; mod b; pub use a::A;")],
        &[&["a", "b"]],
    );
    check_circles(&[("a", a), ("b", "pub struct B; fn f() { vec![super::a::A]; }")], &[&["a", "b"]]);
    check_circles(&[("a", a), ("b", "use super::a::*; pub struct B(A);")], &[&["a", "b"]]);
    check_circles(&[("a", a), ("b", "use super::a::*; pub struct B;")], &[]);
    // What a macro makes is of the file that calls it.
    check_circles(
        &[("a", "make!(A); use super::b::B;"), ("b", "pub struct B(super::a::A);")],
        &[&["a", "b"]],
    );
    // `mod.rs` is a file like others, where something is defined in it and it uses what is below.
    let child = "pub struct A(super::Config);";
    check_circles(&[("mod", "mod a; pub use a::A; pub struct Config;"), ("a", child)], &[]);
    check_circles(&[("mod", "mod a; pub struct Config; fn f(_: a::A) {}"), ("a", child)], &[&["a", "mod"]]);
    check_circles(&[("mod", "mod a; use a::A; pub struct Config;"), ("a", child)], &[&["a", "mod"]]);
    let tested = "pub struct B; #[cfg(test)] mod tests { use crate::web::a::A; }";
    check_circles(&[("a", a), ("b", tested)], &[]);
    check_circles(
        &[("a", a), ("b", "pub struct B; #[cfg(test)] mod tests;"), ("b/tests", "use crate::web::a::A;")],
        &[],
    );
    // A file that a `path` attribute names stands where it is declared.
    let named = ("a", "pub struct A; #[path = \"a_tests.rs\"] mod tests;");
    check_circles(&[named, ("a_tests", "use super::*; fn f(_: A) {}")], &[]);
    check_circles(
        &[
            ("a", "pub struct A; #[path = \"t.rs\"] mod tests; use tests::T;"),
            ("t", "pub struct T(super::A);"),
        ],
        &[&["a", "t"]],
    );
}

#[test]
fn the_import_check_reads_the_sources_as_the_compiler_does() {
    let graph = product();
    let shown = |path: &str, from: &str| {
        let names: Vec<String> = path.split("::").map(str::to_owned).collect();
        match graph.follow(&key(from).expect("a file"), &names, 16) {
            Some(Place::File(file)) => file,
            other => format!("{other:?}"),
        }
    };
    assert_eq!(shown("crate::web::Problem", "src/app/mod.rs"), "src/web/problem.rs");
    assert!(shown("crate::bounded", "src/app/mod.rs").starts_with("src/config"));
    assert!(graph.arrows().len() > 300, "{}", graph.arrows().len());
}
