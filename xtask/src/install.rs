//! How packages are installed, a software Vulkan driver first of all: by apt-get on Debian and its relatives, by the user elsewhere.

use crate::cargo;
use crate::os_release::OsRelease;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

/// What of Vulkan is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A driver and the loader.
    Driver,
    /// The loader only.
    Loader,
}

/// A package with lavapipe, Mesa's software driver, and one with the loader.
const DEBIAN_PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];

impl Wanted {
    fn missing(self) -> &'static str {
        match self {
            Self::Driver => "no Vulkan driver was found",
            Self::Loader => "the Vulkan loader was not found",
        }
    }

    /// Those of a distribution's two packages that are wanted.
    fn of<'a>(self, packages: &'a [&'static str; 2]) -> &'a [&'static str] {
        match self {
            Self::Driver => packages,
            Self::Loader => &packages[1..],
        }
    }
}

/// Whether we may install without asking: told so on the command line, or running in CI.
pub(crate) fn allowed_without_asking(yes: bool) -> bool {
    yes || is_ci(std::env::var("CI").ok().as_deref())
}

/// CI systems set `CI` to `true` or `1`; people switch it off by `false`, `0` or nothing.
fn is_ci(value: Option<&str>) -> bool {
    !matches!(value, None | Some("" | "0" | "false"))
}

/// Installs what is wanted, a software driver where it is a driver, or fails with what the user has to type.
pub(crate) fn vulkan(wanted: Wanted, yes: bool) -> Result<()> {
    let system = OsRelease::of_this_machine();
    if !(system.is("debian") && starts("apt-get", "--version")) {
        bail!("{}", advice(wanted, &system));
    }
    let names = wanted.of(&DEBIAN_PACKAGES);
    if !allowed_without_asking(yes) {
        let (missing, names) = (wanted.missing(), names.join(" "));
        ask(&format!(
            "Because {missing}: install {names} by apt-get? By hand, as root, that is: apt-get update && apt-get install {names}"
        ))?;
    }
    packages(names)
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
fn advice(wanted: Wanted, system: &OsRelease) -> String {
    let fedora = ["mesa-vulkan-drivers", "vulkan-loader"];
    let command = [
        ("debian", "apt-get install", DEBIAN_PACKAGES),
        ("fedora", "dnf install", fedora),
        ("rhel", "dnf install", fedora),
        ("arch", "pacman -S", ["vulkan-swrast", "vulkan-icd-loader"]),
        ("suse", "zypper install", ["libvulkan_lvp", "libvulkan1"]),
        ("alpine", "apk add", ["mesa-vulkan-swrast", "vulkan-loader"]),
    ]
    .into_iter()
    .find(|(family, ..)| system.is(family))
    .map_or_else(
        || {
            let parts = ["Mesa's Vulkan drivers (lavapipe)", "the Vulkan loader"];
            format!("install {}", wanted.of(&parts).join(" and "))
        },
        |(_, install, names)| format!("{install} {}", wanted.of(&names).join(" ")),
    );
    let name = if system.name.is_empty() {
        "this Linux"
    } else {
        &system.name
    };
    format!("{}; on {name}, as root: {command}", wanted.missing())
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
        let text = advice(
            Wanted::Driver,
            &system(&["manjaro", "arch"], "Manjaro Linux"),
        );
        assert!(
            text.contains("Manjaro Linux") && text.contains("pacman -S vulkan-swrast"),
            "{text}"
        );
    }

    #[test]
    fn an_unknown_system_is_told_the_parts() {
        let text = advice(Wanted::Driver, &system(&[], ""));
        assert!(
            text.contains("this Linux") && text.contains("lavapipe"),
            "{text}"
        );
    }

    #[test]
    fn for_the_loader_alone_no_driver_is_named() {
        let text = advice(Wanted::Loader, &system(&["fedora"], "Fedora Linux 42"));
        assert_eq!(
            text,
            "the Vulkan loader was not found; on Fedora Linux 42, as root: dnf install vulkan-loader"
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
