//! No space left, and made again.

use std::process::{Command, Stdio};

use process_kit::run;

use crate::oracles;
use crate::process::{Place, code_fits};

#[test]
fn a_full_store_stops_the_stream_and_loses_nothing() {
    let place = Place::sqlite();
    let stream = "--payments 100000 --rate 400 --failure-rate 10 --json";
    let mut small = Place::sqlite();
    small.url = format!("{}?max_pages=100", place.url);
    let mut program = small.program(stream);
    program.arg("--simulated").arg(place.simulated());
    let ended = run(program);
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    for words in ["no space is left", "Make room", "The next start finishes"] {
        assert!(ended.stderr.contains(words), "{ended:#?}");
    }
    let paid = ended.json()["payments"]["paid"].as_u64().unwrap();
    assert!(paid > 10, "{ended:#?}");

    let next = run(place.program("--payments 20 --failure-rate 0 --json"));
    code_fits(&next);
    let result = next.json();
    assert!(result["payments"]["paid"].as_u64() > Some(0), "{result:#}");
    let seen = oracles::check(&place);
    // Every customer who was told "paid" has paid.
    assert!(seen.charged as u64 >= paid, "{seen:?}, and {paid} were told that they have paid");
}

/// A disk of its own in memory, which goes when the test does.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Of so many KiB; none where disks cannot be mounted.
    fn mount(kibibytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let size = format!("size={kibibytes}k");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            Some(Self(folder))
        } else {
            println!("skipped: this user may not mount a small disk");
            None
        }
    }

    fn resize(&self, kibibytes: u32) {
        let size = format!("remount,size={kibibytes}k");
        let resized = Command::new("mount").args(["-o", &size]).arg(self.0.path()).status();
        assert!(resized.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a program that hangs on it is killed only when the test is over.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The store and the provider's book are on the same disk: neither can write any more.
#[test]
fn a_full_disk_stops_the_stream_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(1024) else { return };
    let mut place = Place::sqlite();
    place.url = format!("sqlite:{}", disk.0.path().join("store").display());
    let services = disk.0.path().join("services");
    let with = |args: &str| {
        let mut program = place.program(args);
        program.arg("--simulated").arg(&services);
        run(program)
    };
    let ended = with("--payments 100000 --rate 400 --failure-rate 10 --json");
    assert_eq!(ended.code, Some(3), "{ended:#?}");
    assert!(ended.stderr.contains("space") || ended.stderr.contains("full"), "{ended:#?}");
    let paid = ended.json()["payments"]["paid"].as_u64().unwrap();
    // Still full: it says so, and nothing gets worse.
    let again = with("--payments 20 --json");
    assert!(matches!(again.code, Some(1 | 3)), "{again:#?}");

    disk.resize(64 * 1024);
    let next = with("--payments 20 --failure-rate 0 --json");
    code_fits(&next);
    let seen = oracles::check_with(&place, &services);
    assert!(seen.charged as u64 >= paid, "{seen:?}, and {paid} were told that they have paid");
}
