//! The rules of the house that a machine can check.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use quote::ToTokens;
use syn::{
    Attribute, ItemMod, ItemUse, UseName, UseRename, UseTree,
    visit::{self, Visit},
};

/// The rooms of the house from the bottom up, each with those that it may import. What may import anything is not here: `lib.rs`, `main.rs`.
const ROOMS: [(&str, &[&str]); 14] = [
    ("domain", &[]),
    ("config", &["domain"]),
    ("failpoints", &[]),
    ("supervisor", &["failpoints"]),
    ("repositories", &["domain", "failpoints", "supervisor"]),
    ("services", &["domain", "config", "failpoints", "supervisor", "repositories"]),
    ("workers", &["domain", "failpoints", "supervisor", "repositories", "services"]),
    ("http", &["domain", "services"]),
    ("controllers", &["domain", "services", "http"]),
    ("middleware", &["domain", "config", "services", "http", "controllers"]),
    ("router", &["services", "controllers", "middleware"]),
    ("server", &["failpoints", "supervisor", "services", "http", "controllers", "middleware"]),
    (
        "app",
        &[
            "domain",
            "config",
            "supervisor",
            "repositories",
            "services",
            "workers",
            "http",
            "controllers",
            "middleware",
            "router",
            "server",
        ],
    ),
    ("commands", &["domain", "config", "repositories", "services", "app"]),
];

/// Crates and the only places that may name them.
const CONFINED: [(&str, &[&str]); 5] = [
    ("axum", &["src/http", "src/controllers", "src/middleware", "src/router.rs", "src/server"]),
    ("diesel", &["src/repositories/ledger"]),
    ("diesel_async", &["src/repositories/ledger"]),
    ("fred", &["src/repositories"]),
    ("tower_governor", &["src/middleware"]),
];

fn rust_files(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned(), text));
            }
        }
    }
    assert!(!found.is_empty(), "no Rust files under {folder}");
    found
}

/// The lines of a file that are neither comments nor tests.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let tests = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..tests].lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

/// The module that a file holds: `["services", "streams"]` for `src/services/streams.rs`.
fn module_of(path: &Path) -> Vec<String> {
    let inner = path.strip_prefix("src").unwrap().with_extension("");
    inner.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

/// The rooms that a module names, by `use`, in a path or in a macro's name, its tests excepted.
struct Named {
    module: Vec<String>,
    rooms: BTreeSet<String>,
}

impl Named {
    fn by(path: &Path, text: &str) -> BTreeSet<String> {
        let file = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut named = Self { module: module_of(path), rooms: BTreeSet::new() };
        named.visit_file(&file);
        named.rooms
    }

    /// Notes the room of a path that is given word by word.
    fn note(&mut self, words: &[String]) {
        let mut from = match words.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => self.module.clone(),
            _ => return,
        };
        for word in words {
            match word.as_str() {
                "crate" | "self" => {}
                "super" => drop(from.pop()),
                word => from.push(word.to_owned()),
            }
        }
        self.rooms.extend(from.into_iter().next());
    }

    fn note_tree(&mut self, before: &mut Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.note_tree(before, &path.tree);
                before.pop();
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.note_tree(before, tree)),
            UseTree::Name(UseName { ident }) | UseTree::Rename(UseRename { ident, .. }) => {
                let mut words = before.clone();
                words.push(ident.to_string());
                self.note(&words);
            }
            UseTree::Glob(_) => self.note(before),
        }
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test"))
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if !is_test(&module.attrs) {
            self.module.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if !is_test(&item.attrs) {
            self.note_tree(&mut Vec::new(), &item.tree);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.note(&words);
        visit::visit_path(self, path);
    }
}

#[test]
fn imports_point_down() {
    for (path, text) in rust_files("src") {
        let module = module_of(&path);
        let room = module[0].as_str();
        if ["lib", "main"].contains(&room) {
            continue;
        }
        let (_, below) = ROOMS.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("{room} is no room of the house"));
        for other in Named::by(&path, &text) {
            let is_room = ROOMS.iter().any(|(name, _)| *name == other);
            let allowed = other == room || !is_room || below.contains(&other.as_str());
            assert!(allowed, "{}: {room} may not import {other}", path.display());
        }
    }
}

#[test]
fn imports_are_found_however_they_are_written() {
    let named = |text: &str| Named::by(Path::new("src/services/streams/hub.rs"), text).into_iter().collect::<Vec<_>>();
    assert_eq!(named("use crate::{domain::ids::{self, UserId}, router};"), ["domain", "router"]);
    assert_eq!(named("use super::{super::super::server::Server as Other, group};"), ["server", "services"]);
    assert_eq!(named("fn f() { crate::failpoints::fails(\"x\"); let _: crate::app::App; }"), ["app", "failpoints"]);
    assert_eq!(named("crate::controllers::stamp!();"), ["controllers"]);
    assert_eq!(named("#[cfg(test)] mod tests { use crate::commands::Command; }"), Vec::<String>::new());
}

#[test]
fn libraries_stay_in_their_layer() {
    for (library, places) in CONFINED {
        for (path, text) in rust_files("src") {
            let used = code(&text).any(|line| {
                line.contains(&format!("{library}::"))
                    && !line.contains(&format!("_{library}::"))
                    && !line.contains(&format!("crate::{library}"))
            });
            let allowed = places.iter().any(|place| path.starts_with(place) || path == Path::new(&format!("{place}.rs")));
            // The composition root hands the router to the server.
            assert!(!used || allowed || path.starts_with("src/app"), "{} names {library}", path.display());
        }
    }
}

#[test]
fn every_file_says_what_it_holds() {
    for (path, text) in ["src", "tests", "load"].into_iter().flat_map(rust_files) {
        assert!(text.starts_with("//!"), "{} does not open with //!", path.display());
    }
}

#[test]
fn nothing_is_left_for_later() {
    // Built from parts, so that this file does not find itself.
    let marks = ["TO", "FIX", "XX"].map(|half| {
        half.to_owned()
            + if half == "TO" {
                "DO"
            } else if half == "FIX" {
                "ME"
            } else {
                "X"
            }
    });
    let macros = [("to", "do!("), ("unimpl", "emented!("), ("#[ig", "nore"), ("db", "g!(")].map(|(a, b)| format!("{a}{b}"));
    for (path, text) in ["src", "tests", "load"].into_iter().flat_map(rust_files) {
        for mark in marks.iter().chain(&macros) {
            assert!(!text.contains(mark.as_str()), "{} holds {mark}", path.display());
        }
    }
}

#[test]
fn files_hold_one_idea() {
    for (path, text) in ["src", "tests", "load"].into_iter().flat_map(rust_files) {
        let lines = text.lines().count();
        assert!(lines <= 350, "{} has {lines} lines: is there one idea in it?", path.display());
    }
}

#[test]
fn no_module_is_called_by_what_it_is_not() {
    for (path, _) in rust_files("src") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !["mod", "utils", "helpers", "common", "manager", "core", "inner"].contains(&name.as_str()),
            "{}",
            path.display()
        );
    }
}
