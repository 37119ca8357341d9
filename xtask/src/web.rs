//! `cargo xtask web`: the page that compares the operations in a browser, built into a folder and served from there.

use crate::cargo;
use crate::print::print;
use crate::wasm::TARGET;
use crate::wasm_tools::{Need, Tools};
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tiny_http::{Header, Response, Server, StatusCode};

/// Arguments of `cargo xtask web`.
#[derive(Debug, clap::Args)]
pub(crate) struct WebArguments {
    /// First install what is missing: the target wasm32 and wasm-bindgen.
    #[arg(long)]
    install: bool,
    /// Install without asking (as when the variable CI is set).
    #[arg(long, short, requires = "install")]
    yes: bool,
    /// The port to serve the page on, of this machine only.
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Only build the folder target/web, which any static host can serve.
    #[arg(long, conflicts_with = "port")]
    build_only: bool,
}

/// The files of the page that are served as they are.
const PAGE: [&str; 3] = ["index.html", "style.css", "page.js"];

/// Builds the page and serves it until the program is ended.
pub(crate) fn run(arguments: &WebArguments) -> Result<()> {
    let root = cargo::workspace_root()?;
    let tools = Tools::of(&root)?;
    let needs = [Need::Target, Need::Bindgen];
    tools.provide(&needs, "web", arguments.install, arguments.yes)?;
    let folder = build(&root, &tools)?;
    if arguments.build_only {
        return print(format_args!(
            "the page is in {}: any static host can serve it, by https",
            folder.display()
        ));
    }
    serve(&folder, arguments.port)
}

/// Builds the page into `target/web`, the folder that is returned.
fn build(root: &Path, tools: &Tools) -> Result<PathBuf> {
    let mut command = cargo::cargo([
        "build",
        "--release",
        "--package",
        "sparse-web",
        "--lib",
        "--target",
        TARGET,
        "--target-dir",
        "target",
    ])?;
    // Empty where there is no git: the page then names the version alone.
    command.env("SPARSE_COMMIT", commit(root).unwrap_or_default());
    cargo::run(&mut command)?;

    let folder = root.join("target/web");
    // What an earlier version has left behind is not to be served.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| cannot("cleared", &folder))?;
    }
    fs::create_dir_all(&folder).with_context(|| cannot("created", &folder))?;
    let module = root
        .join("target")
        .join(TARGET)
        .join("release/sparse_web.wasm");
    let mut bindgen = Command::new(tools.program("wasm-bindgen")?);
    bindgen
        .args(["--target", "web", "--no-typescript", "--out-dir"])
        .arg(&folder)
        .arg(module);
    cargo::run(&mut bindgen)?;
    for name in PAGE {
        let to = folder.join(name);
        fs::copy(root.join("crates/web/page").join(name), &to)
            .with_context(|| cannot("written", &to))?;
    }
    Ok(folder)
}

fn cannot(what: &str, path: &Path) -> String {
    format!("{} cannot be {what}", path.display())
}

/// The commit that is checked out, with a mark where files differ from it; nothing where git cannot tell.
fn commit(root: &Path) -> Option<String> {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// Answers requests for the files of `folder`, to this machine alone.
fn serve(folder: &Path, port: u16) -> Result<()> {
    let server = Server::http(("localhost", port)).map_err(|error| {
        anyhow!("port {port} cannot be served: {error}; take another by --port")
    })?;
    let address = server
        .server_addr()
        .to_ip()
        .context("the server has no address")?;
    print(format_args!(
        "http://localhost:{} (ends with Ctrl-C)",
        address.port()
    ))?;
    for request in server.incoming_requests() {
        let answered = match answer(folder, request.url()) {
            Ok(Some((kind, bytes))) => {
                let response = Response::from_data(bytes).with_header(kind);
                // A page that is built anew shows anew.
                let fresh = header("Cache-Control", "no-store")?;
                request.respond(response.with_header(fresh))
            }
            Ok(None) => {
                let text = format!("there is no {}", request.url());
                request.respond(Response::from_string(text).with_status_code(StatusCode(404)))
            }
            Err(error) => {
                let text = format!("{error:#}");
                request.respond(Response::from_string(text).with_status_code(StatusCode(500)))
            }
        };
        if let Err(error) = answered {
            eprintln!("a browser went away before it had its answer: {error}");
        }
    }
    Ok(())
}

/// The file that a URL names and its kind; nothing where the folder has none of that name. Only names of the folder's own files are looked for.
fn answer(folder: &Path, url: &str) -> Result<Option<(Header, Vec<u8>)>> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let name = match path.trim_start_matches('/') {
        "" => "index.html",
        name => name,
    };
    let entries = fs::read_dir(folder).with_context(|| cannot("read", folder))?;
    let is_here = entries
        .filter_map(Result::ok)
        .any(|entry| entry.file_name().to_str() == Some(name));
    if !is_here {
        return Ok(None);
    }
    let file = folder.join(name);
    let bytes = fs::read(&file).with_context(|| cannot("read", &file))?;
    Ok(Some((header("Content-Type", kind(name))?, bytes)))
}

fn header(name: &str, value: &str) -> Result<Header> {
    Header::from_bytes(name, value).map_err(|()| anyhow!("`{name}: {value}` is no header"))
}

/// The media type of a file; browsers compile WebAssembly while it arrives only under its own.
fn kind(name: &str) -> &'static str {
    let (_, end) = name.rsplit_once('.').unwrap_or_default();
    match end {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("index.html"), "<p>").unwrap();
        fs::write(folder.path().join("a_bg.wasm"), b"\0asm").unwrap();
        folder
    }

    #[test]
    fn the_folder_s_files_are_served_under_their_kinds() {
        let folder = page();
        let of = |url| {
            let found = answer(folder.path(), url).unwrap();
            found.map(|(kind, bytes)| (kind.value.to_string(), bytes))
        };
        let index = ("text/html; charset=utf-8".to_owned(), b"<p>".to_vec());
        assert_eq!(of("/"), Some(index.clone()));
        assert_eq!(of("/index.html?again"), Some(index));
        let wasm = ("application/wasm".to_owned(), b"\0asm".to_vec());
        assert_eq!(of("/a_bg.wasm"), Some(wasm));
    }

    #[test]
    fn nothing_else_is_served() {
        let folder = page();
        let outside = folder.path().with_extension("outside");
        fs::write(&outside, "secret").unwrap();
        let name = outside.file_name().unwrap().to_str().unwrap();
        let up = [format!("/../{name}"), format!("/%2e%2e/{name}")];
        for url in ["/other.html", "/.", "/..", &up[0], &up[1]] {
            assert!(answer(folder.path(), url).unwrap().is_none(), "{url}");
        }
        fs::remove_file(outside).unwrap();
        let gone = folder.path().join("gone");
        assert!(answer(&gone, "/").is_err(), "a folder that is not there");
    }

    #[test]
    fn every_file_of_the_page_is_there_and_named() {
        let root = cargo::workspace_root().unwrap();
        let entries = fs::read_dir(root.join("crates/web/page")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort_unstable();
        let mut page = PAGE;
        page.sort_unstable();
        assert_eq!(names, page);
        let kinds = PAGE.map(kind);
        assert!(!kinds.contains(&"application/octet-stream"), "{kinds:?}");
    }
}
