//! Files that change, are wrong, vanish and come back.

use super::*;
use crate::policy::PolicyConfig;
use crate::registry::{Registry, RegistryConfig};
use tempfile::TempDir;

struct World {
    folder: TempDir,
    watch: Watch,
    policy: Arc<Policy>,
}

fn policy() -> Arc<Policy> {
    let now = std::time::Instant::now();
    let registry = Arc::new(Registry::new(RegistryConfig::default(), 1, now));
    Arc::new(Policy::new(&PolicyConfig::default(), registry, now))
}

impl World {
    fn new(files: impl FnOnce(&Path) -> ListFiles) -> Self {
        let (folder, policy) = (tempfile::tempdir().unwrap(), policy());
        let files = files(folder.path());
        let watch = Watch::begin(files, None, &policy).unwrap();
        Self {
            folder,
            watch,
            policy,
        }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// What is told at a look.
    fn look(&self, at_once: bool) -> Vec<String> {
        self.watch.look(at_once);
        let news = std::iter::from_fn(|| self.watch.news_queue.try_recv().ok());
        news.map(|news| match news {
            News::Loaded(loaded) => format!("loaded {:?} {}", loaded.allowed, loaded.denied),
            News::Refused(error) => error.to_string(),
            other => format!("{other:?}"),
        })
        .collect()
    }

    fn allows(&self, number: u8) -> bool {
        self.policy.lists().admit(&InfoHash([number; 20])).is_ok()
    }
}

fn line(number: u8) -> String {
    format!("{}\n", InfoHash([number; 20]))
}

#[test]
fn changed_list_is_read_when_it_is_at_rest_or_at_once() {
    let world = World::new(|folder| {
        fs::write(folder.join("allow"), line(1)).unwrap();
        ListFiles {
            allow: vec![folder.join("allow")],
            ..ListFiles::default()
        }
    });
    assert!(world.allows(1) && !world.allows(2));
    assert!(world.look(false).is_empty());
    world.write("allow", &(line(1) + &line(2)));
    assert!(world.look(false).is_empty(), "it may still be written");
    assert_eq!(world.look(false), ["loaded Some(2) 0"]);
    assert!(world.allows(2));
    world.write("allow", &line(2));
    assert_eq!(world.look(true), ["loaded Some(1) 0"]);
    assert!(!world.allows(1));
}

#[test]
fn broken_list_is_refused_whole_with_its_line_and_the_old_one_stays() {
    let world = World::new(|folder| {
        fs::write(folder.join("deny"), line(1)).unwrap();
        ListFiles {
            deny: vec![folder.join("deny")],
            ..ListFiles::default()
        }
    });
    assert!(!world.allows(1));
    world.write("deny", &(line(2) + "oops\n"));
    world.look(false);
    let told = world.look(false);
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("deny:2: an info hash"), "{told:?}");
    assert!(!world.allows(1) && world.allows(2));
    assert!(world.look(false).is_empty(), "it is told once");
    let path = world.folder.path().join("deny");
    fs::remove_file(&path).unwrap();
    world.look(false);
    assert!(world.look(false)[0].contains("cannot read"));
    assert!(!world.allows(1), "a list that is gone is no empty list");
    assert!(world.look(false).is_empty());
    world.write("deny", &line(3));
    world.look(false);
    assert_eq!(world.look(false), ["loaded None 1"]);
    assert!(world.allows(1) && !world.allows(3));
}

#[test]
fn tracker_does_not_begin_with_a_list_that_is_wrong_or_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("clients");
    let files = || ListFiles {
        deny_clients: vec![path.clone()],
        ..ListFiles::default()
    };
    let error = Watch::begin(files(), None, &policy()).unwrap_err();
    assert!(error.to_string().contains("check the path"), "{error}");
    fs::write(&path, "-XL\n\n-S D\n").unwrap();
    let error = Watch::begin(files(), None, &policy()).unwrap_err();
    assert!(
        error.to_string().contains("clients:3: the beginning"),
        "{error}"
    );
    let mut nowhere = files();
    nowhere.folders = vec![folder.path().join("nowhere")];
    fs::write(&path, "-XL\n").unwrap();
    assert!(Watch::begin(nowhere, None, &policy()).is_err());
}

#[test]
fn torrents_of_a_folder_come_and_go_and_a_bad_one_spoils_no_other() {
    let info = "d6:lengthi1e4:name1:a12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae";
    let torrent = |name: &str| format!("d4:info{}e", info.replace("1:a", &format!("1:{name}")));
    let world = World::new(|folder| {
        fs::write(folder.join("a.torrent"), torrent("a")).unwrap();
        fs::write(folder.join("bad.torrent"), "nonsense").unwrap();
        // Nobody may read it, root neither.
        std::os::unix::fs::symlink("/proc/self/mem", folder.join("shut.torrent")).unwrap();
        fs::write(folder.join("readme"), "nonsense").unwrap();
        ListFiles {
            folders: vec![folder.to_owned()],
            ..ListFiles::default()
        }
    });
    let allowed = |world: &World| world.policy.lists().allowed().unwrap().to_vec();
    let first = allowed(&world);
    assert_eq!(first.len(), 1);
    let told = world.look(false);
    assert!(told[0].contains("bad.torrent"), "{told:?}");
    let shut = |told: &String| told.contains("cannot read") && told.contains("shut.torrent");
    assert!(told.iter().any(shut), "{told:?}");
    let long = File::create(world.folder.path().join("long.torrent")).unwrap();
    long.set_len(TORRENT_BYTES_MAX as u64 + 9).unwrap();
    world.look(false);
    let told = world.look(false);
    let words = |words| told[0].contains(words);
    assert!(words("long.torrent") && words("at most"), "{told:?}");
    world.write("b.torrent", &torrent("b"));
    world.look(false);
    assert_eq!(world.look(false), ["loaded Some(2) 0"]);
    fs::remove_file(world.folder.path().join("a.torrent")).unwrap();
    assert_eq!(world.look(false), ["loaded Some(1) 0"]);
    assert!(!allowed(&world).contains(&first[0]));
}
