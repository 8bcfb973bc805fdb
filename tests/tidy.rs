//! The rules of the house that a machine can check.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Layers from the bottom up; a layer may import itself and what stands before it.
const LAYERS: [(&str, &[&str]); 5] = [
    ("domain", &[]),
    ("repositories", &["domain"]),
    ("services", &["domain", "repositories", "config"]),
    ("controllers", &["domain", "services", "middleware::request_id"]),
    ("workers", &["domain", "repositories", "services"]),
];

/// Crates and the only places that may name them.
const CONFINED: [(&str, &[&str]); 5] = [
    ("axum", &["src/controllers", "src/middleware", "src/router.rs", "src/server"]),
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

#[test]
fn imports_point_down() {
    for (layer, below) in LAYERS {
        let files = rust_files("src")
            .into_iter()
            .filter(|(path, _)| path.starts_with(format!("src/{layer}")) || path == Path::new(&format!("src/{layer}.rs")));
        for (path, text) in files {
            for other in
                ["domain", "repositories", "services", "controllers", "middleware", "workers", "config", "app", "commands"]
            {
                if other == layer {
                    continue;
                }
                for line in code(&text).filter(|line| line.contains(&format!("crate::{other}::"))) {
                    let allowed = below.iter().any(|below| line.contains(&format!("crate::{below}::")));
                    assert!(allowed, "{}: {layer} may not import {other}: {line}", path.display());
                }
            }
        }
    }
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
