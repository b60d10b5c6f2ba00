//! Which crate may depend on which. A crate is worth having when what it does not depend on is a promise.

use serde_json::Value;

use super::Complaint;

/// What each of our packages may use of ours, in any kind of dependency. A new edge changes this table and
/// `ARCHITECTURE.md` in the same commit.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("consensus", &["model"]),
    ("ledger", &["model"]),
    ("objects", &["model", "emulators"]),
    ("emulators", &["objects"]),
    ("archive", &["model", "ledger", "objects", "emulators"]),
    ("catalogue", &["model"]),
    ("blobs", &["model"]),
    ("media", &["model"]),
    ("replica", &["model", "consensus", "ledger"]),
    (
        "node",
        &[
            "model",
            "consensus",
            "ledger",
            "archive",
            "objects",
            "catalogue",
            "blobs",
            "media",
            "replica",
            // Its tests mutate what peers say.
            "fuzzing",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "ledger",
            "archive",
            "emulators",
            "media",
            "node",
            "namespaces",
        ],
    ),
    (
        "sim",
        &[
            "model",
            "consensus",
            "ledger",
            "replica",
            "catalogue",
            "blobs",
        ],
    ),
    ("explore", &["model", "consensus"]),
    (
        "fuzzing",
        &["model", "consensus", "ledger", "catalogue", "media"],
    ),
    ("namespaces", &[]),
    ("bench", &["namespaces"]),
    (
        "experiments",
        &["model", "consensus", "ledger", "replica", "sim"],
    ),
    ("xtask", &[]),
];

/// Packages whose results are a function of their inputs.
const PURE: &[&str] = &[
    "model",
    "consensus",
    "ledger",
    "catalogue",
    "replica",
    "sim",
    "explore",
];

/// What brings a clock, randomness, sockets or a scheduler of its own. Tests may use them.
const IMPURE: &[&str] = &[
    "axum",
    "getrandom",
    "hyper",
    "rand",
    "reqwest",
    "tokio",
    "tokio-util",
    "tonic",
    "tower",
];

/// The packages under `crates/`, by name.
pub(super) fn crates(metadata: &Value) -> Vec<String> {
    packages(metadata)
        .filter(|package| text(package, "manifest_path").contains("/crates/"))
        .map(|package| text(package, "name").to_owned())
        .collect()
}

/// Compares the dependencies of every package with the tables.
pub(super) fn check(metadata: &Value) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for package in packages(metadata) {
        let name = text(package, "name");
        let manifest = format!("package {name}");
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            complaints.push(Complaint::new(
                &manifest,
                "is not in xtask's table of dependency edges",
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let target = text(dependency, "name");
            let ours = !dependency["path"].is_null();
            if ours && !allowed.contains(&target) {
                let what = format!("depends on {target}, an edge that xtask's table does not have");
                complaints.push(Complaint::new(&manifest, what));
            }
            let shipped = dependency["kind"].as_str() != Some("dev");
            if shipped && PURE.contains(&name) && IMPURE.contains(&target) {
                let what =
                    format!("depends on {target}, but its results must follow from its inputs");
                complaints.push(Complaint::new(&manifest, what));
            }
        }
    }
    complaints
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workspace(name: &str, dependency: Value) -> Value {
        json!({ "packages": [{
            "name": name, "manifest_path": format!("/x/crates/{name}/Cargo.toml"), "dependencies": [dependency],
        }]})
    }

    #[test]
    fn an_edge_of_the_table_is_allowed() {
        let metadata = workspace(
            "ledger",
            json!({ "name": "model", "path": "/x", "kind": null }),
        );
        assert_eq!(check(&metadata), []);
        assert_eq!(crates(&metadata), ["ledger"]);
    }

    #[test]
    fn a_new_edge_is_named() {
        let metadata = workspace(
            "model",
            json!({ "name": "ledger", "path": "/x", "kind": "dev" }),
        );
        let [complaint] = &check(&metadata)[..] else {
            panic!("one complaint")
        };
        assert!(complaint.to_string().contains("depends on ledger"));
    }

    #[test]
    fn a_pure_crate_may_use_a_scheduler_in_tests_alone() {
        let shipped = workspace(
            "consensus",
            json!({ "name": "tokio", "path": null, "kind": null }),
        );
        let tests = workspace(
            "consensus",
            json!({ "name": "tokio", "path": null, "kind": "dev" }),
        );
        assert_eq!(check(&shipped).len(), 1);
        assert_eq!(check(&tests), []);
    }

    #[test]
    fn an_unknown_package_is_named() {
        let metadata = workspace(
            "util",
            json!({ "name": "serde", "path": null, "kind": null }),
        );
        assert_eq!(check(&metadata).len(), 1);
    }
}
