//! How packages are installed, a software Vulkan driver first of all: by apt-get on Debian and its relatives, by the user elsewhere.

use crate::cargo;
use crate::os_release::OsRelease;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

/// Mesa's drivers (lavapipe, the software one, is among them) and the loader.
const DEBIAN_PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];

/// Whether we may install without asking: told so on the command line, or running in CI.
pub(crate) fn allowed_without_asking(yes: bool) -> bool {
    yes || is_ci(std::env::var("CI").ok().as_deref())
}

/// CI systems set `CI` to `true` or `1`; people switch it off by `false`, `0` or nothing.
fn is_ci(value: Option<&str>) -> bool {
    !matches!(value, None | Some("" | "0" | "false"))
}

/// Installs the driver, or fails with what the user has to type.
pub(crate) fn software_driver(yes: bool) -> Result<()> {
    let system = OsRelease::of_this_machine();
    if !(system.is("debian") && starts("apt-get", "--version")) {
        bail!("{}", advice(&system));
    }
    if !allowed_without_asking(yes) {
        let packages = DEBIAN_PACKAGES.join(" ");
        ask(&format!(
            "No Vulkan driver was found. Install the software driver ({packages}) by apt-get? By hand, as root, that is: apt-get update && \
             apt-get install {packages}"
        ))?;
    }
    packages(&DEBIAN_PACKAGES)
}

/// Installs packages by apt-get.
pub(crate) fn packages(names: &[&str]) -> Result<()> {
    apt_get(&["update"])?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], names].concat())
}

/// One question on the terminal. Without a terminal nobody could answer, which must not hang.
pub(crate) fn ask(question: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("{question} There is no terminal to ask on; repeat with --yes");
    }
    let mut out = std::io::stdout().lock();
    write!(out, "{question} [y/N] ")
        .and_then(|()| out.flush())
        .context("the terminal cannot be written to")?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("the terminal cannot be read")?;
    if !is_consent(&answer) {
        bail!("nothing was installed");
    }
    Ok(())
}

fn is_consent(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = if is_root()? {
        Command::new("env")
    } else if starts("sudo", "--version") {
        let mut sudo = Command::new("sudo");
        if !std::io::stdin().is_terminal() {
            sudo.arg("--non-interactive");
        }
        sudo.arg("env");
        sudo
    } else {
        bail!(
            "installing needs root and there is no sudo; as root: apt-get {}",
            arguments.join(" ")
        );
    };
    command
        .arg("DEBIAN_FRONTEND=noninteractive")
        .arg("apt-get")
        .args(arguments);
    cargo::run(&mut command)
}

/// The effective user, asked of `id`, since the standard library has no call for it.
fn is_root() -> Result<bool> {
    let output = Command::new("id")
        .arg("-u")
        .output()
        .context("could not start `id -u`")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim() == "0")
}

/// Whether a program is there, by starting it.
pub(crate) fn starts(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok()
}

/// What to type on a Linux that we install nothing on.
fn advice(system: &OsRelease) -> String {
    let command = [
        ("debian", "apt-get install mesa-vulkan-drivers libvulkan1"),
        ("fedora", "dnf install mesa-vulkan-drivers vulkan-loader"),
        ("rhel", "dnf install mesa-vulkan-drivers vulkan-loader"),
        ("arch", "pacman -S vulkan-swrast vulkan-icd-loader"),
        ("suse", "zypper install libvulkan_lvp libvulkan1"),
        ("alpine", "apk add mesa-vulkan-swrast vulkan-loader"),
    ]
    .into_iter()
    .find(|(family, _)| system.is(family))
    .map_or(
        "install Mesa's Vulkan drivers (lavapipe) and the Vulkan loader",
        |(_, line)| line,
    );
    let name = if system.name.is_empty() {
        "this Linux"
    } else {
        &system.name
    };
    format!("no Vulkan driver was found; on {name}, as root: {command}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(families: &[&str], name: &str) -> OsRelease {
        let families = families.iter().map(|&family| family.to_owned()).collect();
        OsRelease {
            families,
            name: name.to_owned(),
        }
    }

    #[test]
    fn advice_names_the_system_and_its_own_command() {
        let text = advice(&system(&["manjaro", "arch"], "Manjaro Linux"));
        assert!(
            text.contains("Manjaro Linux") && text.contains("pacman -S vulkan-swrast"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_system_is_told_the_parts() {
        let text = advice(&system(&[], ""));
        assert!(
            text.contains("this Linux") && text.contains("lavapipe"),
            "{text}"
        );
    }

    #[test]
    fn only_a_clear_yes_is_consent() {
        assert!(
            is_consent("y\n") && is_consent(" YES "),
            "a yes was refused"
        );
        assert!(
            !is_consent("") && !is_consent("\n") && !is_consent("yesterday"),
            "taken as a yes"
        );
    }

    #[test]
    fn ci_is_on_unless_absent_or_switched_off() {
        assert!(is_ci(Some("true")) && is_ci(Some("1")), "CI was not seen");
        assert!(
            !is_ci(None) && !is_ci(Some("")) && !is_ci(Some("false")),
            "CI seen where none is"
        );
    }
}
