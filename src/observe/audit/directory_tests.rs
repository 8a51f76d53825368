use std::{fs, io::Write as _};

use super::*;
use crate::observe::audit::test_folder::Folder;

fn today(text: &str) -> Day {
    Day::parse(text.as_bytes()).unwrap()
}

fn write(directory: &mut Directory, day: &str, text: &str) -> bool {
    let is_new = directory.select(today(day)).unwrap();
    directory.file().unwrap().write_all(text.as_bytes()).unwrap();
    is_new
}

/// The days of the files and their texts.
fn contents(path: &Path) -> Vec<(String, String)> {
    let content = |(path, _): (PathBuf, Day)| {
        let name = path.file_name().unwrap().to_str().unwrap();
        (name[6..16].to_owned(), fs::read_to_string(&path).unwrap())
    };
    files(path).unwrap().into_iter().map(content).collect()
}

fn texts(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(day, text)| ((*day).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn each_day_has_a_file_and_late_lines_stay_in_the_later_one() {
    let folder = Folder::new();
    let mut directory = Directory::open(folder.path(), 90).unwrap();
    assert!(write(&mut directory, "2026-11-30", "a"));
    assert!(!write(&mut directory, "2026-11-30", "b"));
    assert!(write(&mut directory, "2026-12-01", "c"));
    assert!(!write(&mut directory, "2026-11-30", "d"));
    assert!(write(&mut directory, "2026-12-03", "e"));
    // The clock was set back.
    assert!(write(&mut directory, "2026-11-29", "f"));
    let expected =
        [("2026-11-29", "f"), ("2026-11-30", "ab"), ("2026-12-01", "cd"), ("2026-12-03", "e")];
    assert_eq!(contents(folder.path()), texts(&expected));
}

#[test]
fn two_logs_have_different_files() {
    let folder = Folder::new();
    let mut one = Directory::open(folder.path(), 90).unwrap();
    let mut two = Directory::open(folder.path(), 90).unwrap();
    write(&mut one, "2026-11-30", "1");
    write(&mut two, "2026-11-30", "2");
    write(&mut one, "2026-11-30", "1");
    let mut contents = contents(folder.path());
    contents.sort();
    assert_eq!(contents, texts(&[("2026-11-30", "11"), ("2026-11-30", "2")]));
}

#[test]
fn existing_file_and_link_are_never_written() {
    let folder = Folder::new();
    let mut directory = Directory::open(folder.path(), 90).unwrap();
    let path = directory.path.join(file_name(today("2026-11-30"), directory.id));
    let target = directory.path.join("target");
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let error = directory.select(today("2026-11-30")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    // The next attempt has another name.
    assert!(write(&mut directory, "2026-11-30", "a"));
    assert!(!target.exists());
}

#[test]
fn removed_or_replaced_file_is_followed_by_a_new_one() {
    let folder = Folder::new();
    let mut directory = Directory::open(folder.path(), 90).unwrap();
    write(&mut directory, "2026-11-30", "a");
    let path = files(folder.path()).unwrap().remove(0).0;
    fs::remove_file(&path).unwrap();
    assert!(write(&mut directory, "2026-11-30", "b"));
    assert_eq!(contents(folder.path()), texts(&[("2026-11-30", "b")]));

    fs::rename(&path, folder.path().join("moved")).unwrap();
    fs::write(&path, "other").unwrap();
    directory.select(today("2026-11-30")).unwrap_err();
    assert!(write(&mut directory, "2026-11-30", "c"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "other");
    assert_eq!(fs::read_to_string(folder.path().join("moved")).unwrap(), "b");
}

#[cfg(unix)]
#[test]
fn files_are_private_and_the_directory_must_be_as_well() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new();
    let set_mode = |mode| {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    };
    let open = || Directory::open(folder.path(), 90);
    for mode in [0o777, 0o1777, 0o702] {
        set_mode(mode);
        let Err(error) = open() else { panic!("{mode:o}") };
        assert!(error.to_string().contains("chmod o-w"), "{error}");
    }
    set_mode(0o755);
    let mut directory = open().unwrap();
    write(&mut directory, "2026-11-30", "a");
    let path = files(folder.path()).unwrap().remove(0).0;
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn path_that_is_no_directory_is_an_error_with_advice() {
    let folder = Folder::new();
    let path = folder.path().join("file");
    let Err(error) = Directory::open(&path, 90) else { panic!() };
    assert!(error.to_string().contains("create it"), "{error}");
    fs::write(&path, "").unwrap();
    let Err(error) = Directory::open(&path, 90) else { panic!() };
    assert!(error.to_string().contains("is not a directory"), "{error}");
}

#[test]
fn old_files_are_removed_and_all_others_stay() {
    let folder = Folder::new();
    let kept = [
        "audit-2026-11-01-00000000.jsonl",
        "audit-2026-11-30-00000000.jsonl",
        "audit-2027-01-01-00000000.jsonl",
        "audit-2020-01-01-0000000.jsonl",
        "audit-2020-01-01-0000000G.jsonl",
        "audit-2020-01-01-0000000F.jsonl",
        "audit-2020-01-01-00000000.jsonl.gz",
        "audit-2020-01-01-00000000.json",
        "audit-2020-02-30-00000000.jsonl",
        "audit-2020-01-01.jsonl",
        "xaudit-2020-01-01-00000000.jsonl",
        "audit-",
        "readme",
    ];
    let removed = ["audit-2026-10-31-00000000.jsonl", "audit-1970-01-01-deadbeef.jsonl"];
    for name in kept.iter().chain(&removed) {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let subfolder = "audit-2020-01-01-00000000.jsonl";
    fs::create_dir(folder.path().join(subfolder)).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("readme", folder.path().join("audit-2020-01-01-00000001.jsonl"))
        .unwrap();

    let mut directory = Directory::open(folder.path(), 29).unwrap();
    directory.clean(today("2026-11-30")).unwrap();
    for name in kept {
        assert!(folder.path().join(name).exists(), "{name}");
    }
    for name in removed {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
    assert!(folder.path().join(subfolder).exists());
    #[cfg(unix)]
    assert!(folder.path().join("audit-2020-01-01-00000001.jsonl").exists());

    // Once a day.
    let path = folder.path().join(removed[0]);
    fs::write(&path, "x").unwrap();
    directory.clean(today("2026-11-30")).unwrap();
    assert!(path.exists());
    directory.clean(today("2026-12-01")).unwrap();
    assert!(!path.exists());
    fs::write(&path, "x").unwrap();
    directory.clean(today("2026-12-01")).unwrap();
    assert!(path.exists());
    assert!(!folder.path().join(kept[0]).exists() && folder.path().join(kept[1]).exists());

    let mut forever = Directory::open(folder.path(), u32::MAX).unwrap();
    forever.clean(today("9999-12-31")).unwrap();
    assert!(folder.path().join(kept[1]).exists());
}
