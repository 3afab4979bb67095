//! The operators' interface as a stranger's tool finds it in `docs/openapi.json`: everything that is described, and a great deal that is not,
//! asked of the real program over TLS with a real HAProxy behind it.
//!
//! The tool is in the Python environment that `make test` makes.

use crate::support::real::Haproxy;
use crate::trust::Stand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use warden_edge::tls::Files;

/// Seconds: longer than it takes on a busy machine.
const PATIENCE: &str = "240";

/// The tool on this stand, as the operator with these files; what it said, once it found nothing.
async fn asked(stand: &Stand, anna: &Files, document: &Path, words: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let tool = std::env::var_os("SCHEMATHESIS").map_or_else(|| root.join(".venv/bin/schemathesis"), PathBuf::from);
    assert!(tool.exists(), "there is no {}: make test makes it", tool.display());
    let mut command = Command::new("timeout");
    command.current_dir(stand.folder.path()).arg(PATIENCE).arg(tool).arg("run").arg(document);
    command.args(["--url", &format!("https://localhost:{}", stand.listen), "--no-color", "--seed", "1", "--request-timeout", "10"]);
    for (option, file) in [("--tls-verify", &anna.ca), ("--request-cert", &anna.cert), ("--request-cert-key", &anna.key)] {
        command.arg(option).arg(file);
    }
    command.args(words);
    let (done, ended) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || drop(done.send(command.output())));
    let out = ended.await.unwrap().unwrap();
    thread.join().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "schemathesis found something:\n{said}");
    said
}

#[tokio::test]
async fn schemathesis_finds_nothing() {
    let haproxy = Haproxy::start(true).await;
    let stand = Stand::before(Some(&haproxy), false).await;
    let anna = stand.issue("anna");
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    // Nobody hits upon a server's name by chance, and behind it lies what is worth asking for.
    let mut document: Value = serde_json::from_slice(&std::fs::read(published).unwrap()).unwrap();
    for verb in ["drain", "undrain"] {
        let name = &mut document["paths"][format!("/v1/servers/{{name}}/{verb}")]["post"]["parameters"][0];
        assert_eq!(name["name"], "name");
        name["schema"] = json!({ "type": "string", "enum": ["n1", "app/n1", "n2", "bare", "nobody", "app/"] });
    }
    let file = stand.folder.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();

    eprintln!("{}", asked(&stand, &anna, &file, &["--phases", "examples,coverage"]).await);
    // For JSON Schema 8.0 is an integer. It is refused here, so what is valid for the document and is not taken is looked at above alone.
    let fuzzing = ["--phases", "fuzzing", "--max-examples", "60", "--exclude-checks", "positive_data_acceptance"];
    eprintln!("{}", asked(&stand, &anna, &file, &fuzzing).await);
    assert!(!stand.log().contains("panicked"), "{}", stand.log());
}
