//! Opening buckets: new ones, old ones, and everything that is none.

#![cfg(test)]

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use eagre_env::Env;
use eagre_objects::{
    BUCKET_FORMAT, Bucket, BucketKind, BucketUrl, CreateOutcome, GetError, MARKER_KEY, MarkerError, OpenError, Ranged,
};
use futures::future::join_all;
use object_store::{ObjectStoreExt, memory::InMemory};

fn url(path: &Path) -> BucketUrl {
    BucketUrl::Folder(path.into())
}

async fn open(path: &Path) -> Result<Bucket, OpenError> {
    Bucket::open(&Env::system(), &url(path)).await
}

#[tokio::test]
async fn a_new_folder_becomes_a_bucket_and_stays_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/with parents");
    let first = open(&path).await.unwrap();
    first.put("wal/1/2", Bytes::from_static(b"data")).await.unwrap();
    let second = open(&path).await.unwrap();
    assert_eq!(first.marker(), second.marker());
    assert_eq!(first.kind(), BucketKind::Folder);
    assert_eq!(second.get("wal/1/2", 4).await.unwrap(), "data");
    let id = first.cluster_id();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'4'), "a random UUID: {id}");
    let other = open(&folder.path().join("other")).await.unwrap();
    assert_ne!(other.cluster_id(), id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_open_at_once_agree() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let opened = join_all((0..8).map(|_| open(folder.path()))).await;
        let ids: Vec<String> = opened.into_iter().map(|bucket| bucket.unwrap().cluster_id().to_owned()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }
}

#[tokio::test]
async fn leftovers_of_a_start_that_was_killed_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(format!("{MARKER_KEY}#1")), "{\"form").unwrap();
    fs::create_dir(folder.path().join("lost+found")).unwrap();
    open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_file_is_no_folder() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path().to_path_buf(), file.path().join("below")] {
        let error = open(&path).await.unwrap_err();
        assert!(matches!(error, OpenError::NotAFolder { .. }), "{error}");
        assert!(error.to_string().contains("is not a folder"), "{error}");
    }
}

#[tokio::test]
async fn a_folder_of_other_things_is_no_bucket_and_is_left_alone() {
    for (name, is_folder) in [("notes.txt", false), ("photos", true)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        if is_folder {
            fs::create_dir(&path).unwrap()
        } else {
            fs::write(&path, "mine").unwrap()
        }
        let error = open(folder.path()).await.unwrap_err();
        assert!(matches!(&error, OpenError::NotABucket { holds, .. } if holds == name), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_marker_that_is_newer_or_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join(MARKER_KEY);
    fs::write(&marker, format!(r#"{{"format":{},"needs_eagre":"9.1.0"}}"#, BUCKET_FORMAT + 1)).unwrap();
    let error = open(folder.path()).await.unwrap_err();
    assert!(matches!(error, OpenError::Marker { source: MarkerError::NewerFormat { .. }, .. }), "{error}");
    assert!(error.to_string().contains("needs eagre 9.1.0"), "{error}");
    for content in [vec![], b"{\"format\":1".to_vec(), vec![b' '; 100_000]] {
        fs::write(&marker, content).unwrap();
        let error = open(folder.path()).await.unwrap_err();
        assert!(matches!(error, OpenError::Marker { source: MarkerError::Unreadable(_), .. }), "{error}");
    }
}

/// The superuser may write everywhere, so the check runs as nobody, in a copy of this test that nobody can reach.
#[test]
fn a_folder_that_cannot_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let (own, theirs) = (folder.path().join("theirs/own"), folder.path().join("theirs"));
    fs::create_dir_all(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o555)).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = folder.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let mut command = Command::new(&copy);
    command.args(["--exact", "as_nobody", "--nocapture"]).env("EAGRE_TEST_READ_ONLY", &own).current_dir("/");
    if rustix::process::geteuid().is_root() {
        command.uid(65_534).gid(65_534);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("refused as it should be"), "{output:?}");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The part of [`a_folder_that_cannot_be_written`] that runs as nobody; alone it has nothing to do.
#[tokio::test]
async fn as_nobody() {
    let Some(folder) = std::env::var_os("EAGRE_TEST_READ_ONLY") else { return };
    let folder = Path::new(&folder);
    for path in [folder.to_path_buf(), folder.join("new")] {
        let error = open(&path).await.unwrap_err();
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
        assert!(error.to_string().contains("cannot be written"), "{error}");
    }
    println!("refused as it should be");
}

#[tokio::test]
async fn memory_is_gone_with_its_bucket() {
    let (env, url) = (Env::system(), BucketUrl::Memory);
    let (one, two) = (Bucket::open(&env, &url).await.unwrap(), Bucket::open(&env, &url).await.unwrap());
    assert_eq!(one.kind(), BucketKind::Memory);
    assert_ne!(one.cluster_id(), two.cluster_id());
}

#[tokio::test]
async fn a_store_of_others_is_opened_only_with_a_marker() {
    let store = Arc::new(InMemory::new());
    store.put(&"a/b".into(), "theirs".into()).await.unwrap();
    let opened = Bucket::from_store(&Env::system(), store.clone(), BucketKind::Remote).await;
    assert!(matches!(opened.unwrap_err(), OpenError::NotABucket { holds, .. } if holds == "a/b"));
    let donor = Bucket::open(&Env::system(), &BucketUrl::Memory).await.unwrap();
    store.put(&MARKER_KEY.into(), donor.marker().encode().into()).await.unwrap();
    let opened = Bucket::from_store(&Env::system(), store, BucketKind::Remote).await.unwrap();
    assert_eq!((opened.cluster_id(), opened.kind()), (donor.cluster_id(), BucketKind::Remote));
}

#[tokio::test]
async fn create_tells_own_from_rival_by_content() {
    let folder = tempfile::tempdir().unwrap();
    for url in [BucketUrl::Memory, url(folder.path())] {
        let bucket = Bucket::open(&Env::system(), &url).await.unwrap();
        let (mine, rival) = (Bytes::from_static(b"nonce 1"), Bytes::from_static(b"nonce 2"));
        assert_eq!(bucket.create("lease/0/1", mine.clone()).await.unwrap(), CreateOutcome::Created);
        let again = bucket.create("lease/0/1", mine.clone()).await.unwrap();
        assert_eq!(again, CreateOutcome::Created, "our own write whose answer was lost");
        let lost = bucket.create("lease/0/1", rival).await.unwrap();
        assert_eq!(lost, CreateOutcome::Exists { bytes: mine });
    }
}

#[tokio::test]
async fn reads_say_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    for url in [BucketUrl::Memory, url(folder.path())] {
        let bucket = Bucket::open(&Env::system(), &url).await.unwrap();
        bucket.put("k", Bytes::from_static(b"0123456789")).await.unwrap();
        assert_eq!(bucket.length_bytes("k").await.unwrap(), 10);
        for (range, expected) in [(2..5, "234"), (0..10, "0123456789"), (8..99, "89")] {
            let ranged = bucket.get_range("k", range).await.unwrap();
            assert_eq!(ranged, Ranged { bytes: expected.into(), object_length_bytes: 10 });
        }
        assert!(matches!(bucket.get_range("k", 10..11).await, Err(GetError::Failed { .. })));
        assert!(matches!(bucket.get_range("no", 0..1).await, Err(GetError::Missing { .. })));
        assert!(matches!(bucket.get("no", 10).await, Err(GetError::Missing { .. })));
        assert!(matches!(bucket.length_bytes("no").await, Err(GetError::Missing { .. })));
        let over = bucket.get("k", 9).await;
        assert!(matches!(over, Err(GetError::TooLong { length_bytes: 10, limit_bytes: 9, .. })), "{over:?}");
    }
}

#[tokio::test]
async fn a_folder_that_goes_away_takes_no_writes_and_is_not_made_anew() {
    let parent = tempfile::tempdir().unwrap();
    let (path, away) = (parent.path().join("bucket"), parent.path().join("away"));
    let bucket = open(&path).await.unwrap();
    bucket.put("wal/1/1", Bytes::from_static(b"first")).await.unwrap();
    fs::rename(&path, &away).unwrap();
    for key in ["wal/1/2", "wal/2/1"] {
        let error = bucket.put(key, Bytes::from_static(b"lost")).await.unwrap_err().to_string();
        assert!(error.contains("is gone"), "{error}");
    }
    assert!(!path.exists(), "it was made anew");
    fs::create_dir(&path).unwrap();
    assert!(bucket.put("wal/1/2", Bytes::from_static(b"lost")).await.is_err(), "another one stands there");
    fs::remove_dir(&path).unwrap();
    fs::rename(&away, &path).unwrap();
    bucket.put("wal/1/2", Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(open(&path).await.unwrap().get("wal/1/2", 6).await.unwrap(), "second");
}
