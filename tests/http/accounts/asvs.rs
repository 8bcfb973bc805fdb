//! `docs/asvs.md` names a test for each requirement: every one of them exists.

use std::{fs, path::Path};

/// The text of every Rust file below a folder.
fn sources(folder: &Path, all: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_the_list_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut all = String::new();
    ["src", "tests"].into_iter().for_each(|folder| sources(&root.join(folder), &mut all));
    let list = fs::read_to_string(root.join("docs/asvs.md")).unwrap();
    let rows: Vec<&str> = list.lines().filter(|line| line.starts_with("| 2.") || line.starts_with("| 3.")).collect();
    assert!(rows.len() > 60, "{}", rows.len());
    let is_test = |word: &&str| word.contains('_') && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let named =
        rows.iter().flat_map(|row| row.split('`').skip(1).step_by(2)).filter(is_test).filter(|word| *word != "access_token");
    let mut count = 0;
    for name in named {
        assert!(all.contains(&format!("fn {name}(")), "{name}");
        count += 1;
    }
    assert!(count > 40, "{count}");
}
