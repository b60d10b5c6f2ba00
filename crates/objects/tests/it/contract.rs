//! What is asked of every store.

use bytes::Bytes;
use model::Digest;
use objects::{Created, PutFileError, StoreError, Writing};
use sha2::{Digest as _, Sha256};

use emulators::{Place, Proxy};

use crate::TMP;

/// One suite, run on every kind of store: a server takes longer to start than all of it takes.
async fn keeps_the_contract(place: Option<Place>) {
    let Some(place) = place else { return };
    the_first_of_racing_writers_wins(&place).await;
    keeps_the_contract_but_for_races(Some(place)).await;
}

async fn keeps_the_contract_but_for_races(place: Option<Place>) {
    let Some(place) = place else { return };
    place.store.probe().await.unwrap();
    place.store.probe().await.unwrap();
    let create = |byte: u8| place.store.create("race/first", Bytes::from(vec![byte; 9]));
    assert_eq!(create(1).await.unwrap(), Created::New);
    assert_ne!(create(2).await.unwrap(), Created::New);
    what_is_missing_is_nothing(&place).await;
    a_listing_goes_beyond_a_page(&place).await;
    objects_are_fetched_whole(&place).await;
    nothing_is_too_long_unnoticed(&place).await;
    a_long_file_goes_up_in_parts(&place).await;
    a_copy_is_young_and_whole(&place).await;
    place.store.try_out("tried").await.unwrap();
    assert_eq!(place.store.head("tried").await.unwrap(), None);
    a_broken_upload_leaves_nothing(&place).await;
    a_store_that_comes_back_is_used(&place).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_keeps_the_contract() {
    keeps_the_contract(Some(Place::folder())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn azure_keeps_the_contract() {
    keeps_the_contract(Place::azure(TMP).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_keeps_the_contract() {
    // The emulator looks for the key and writes in two steps, so that two of its threads may both be the first.
    keeps_the_contract_but_for_races(Place::s3(TMP).await).await;
}

async fn the_first_of_racing_writers_wins(place: &Place) {
    for round in 0..8 {
        let key = format!("race/{round}");
        let writers: Vec<_> = (0..4_u8)
            .map(|writer| {
                let (store, key) = (place.store.clone(), key.clone());
                let bytes = Bytes::from(vec![writer; 200_000]);
                tokio::spawn(async move { store.create(&key, bytes).await.unwrap() })
            })
            .collect();
        let mut winners = Vec::new();
        for (writer, created) in (0_u8..).zip(writers) {
            if created.await.unwrap() == Created::New {
                winners.push(writer);
            }
        }
        assert_eq!(winners.len(), 1, "exactly one writer is the first");
        let kept = place.store.read(&key, 1 << 20).await.unwrap().unwrap();
        assert_eq!(kept, vec![winners[0]; 200_000], "its bytes stay");
    }
}

async fn what_is_missing_is_nothing(place: &Place) {
    let (_scratch, folder) = Place::scratch();
    assert_eq!(place.store.read("race/none", 10).await.unwrap(), None);
    let to = folder.join("none");
    assert_eq!(place.store.fetch("race/none", &to, 10).await.unwrap(), None);
    assert!(!to.exists(), "and makes no file");
    assert_eq!(place.store.list("no/such/folder").await.unwrap(), []);
}

async fn a_listing_goes_beyond_a_page(place: &Place) {
    // S3 lists at most a thousand at a time, Azure five thousand: this is beyond the one and says nothing on the other.
    let names: Vec<_> = (0..1_100).map(|number| format!("{number:05}")).collect();
    for some in names.chunks(100) {
        let writes = some.iter().map(|name| {
            let (store, key) = (place.store.clone(), format!("many/{name}"));
            async move { store.create(&key, Bytes::from_static(b"x")).await.unwrap() }
        });
        futures::future::join_all(writes).await;
    }
    place
        .store
        .create("many/below/1", Bytes::from_static(b"x"))
        .await
        .unwrap();
    let listed = place.store.list("many").await.unwrap();
    assert!(listed.iter().all(|object| object.length == 1));
    let listed: Vec<_> = listed.into_iter().map(|object| object.name).collect();
    assert_eq!(listed, names);
    let mut folders = place.store.folders().await.unwrap();
    folders.sort();
    assert_eq!(folders, ["many", "race"]);
}

async fn objects_are_fetched_whole(place: &Place) {
    let (_scratch, folder) = Place::scratch();
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at / 7) as u8).collect();
    let key = "large/one";
    let created = place.store.create(key, Bytes::from(bytes.clone())).await;
    assert_eq!(created.unwrap(), Created::New);
    let to = folder.join("one");
    let fetched = place
        .store
        .fetch(key, &to, 10 << 20)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(fetched.length, bytes.len() as u64);
    assert_eq!(fetched.sha256.0, <[u8; 32]>::from(Sha256::digest(&bytes)));
    assert!(std::fs::read(&to).unwrap() == bytes);
}

async fn a_long_file_goes_up_in_parts(place: &Place) {
    let (_scratch, folder) = Place::scratch();
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|at| (at / 11) as u8).collect();
    let (file, key) = (folder.join("film"), "large/film");
    std::fs::write(&file, &bytes).unwrap();
    let (size, sha256) = (bytes.len() as u64, Digest::of(&[&bytes]));
    let put = |sha256| {
        place
            .store
            .put_file(key, &file, size, sha256, Writing::IfAbsent)
    };
    let damaged = put(Digest::of(&[b"other bytes"])).await;
    assert!(matches!(damaged, Err(PutFileError::Damaged { found, .. }) if found == sha256));
    assert_eq!(place.store.head(key).await.unwrap(), None);
    assert_eq!(put(sha256).await.unwrap(), Created::New);
    assert_eq!(put(sha256).await.unwrap(), Created::AlreadyThere);
    let (found, head) = place.store.hash(key).await.unwrap().unwrap();
    assert_eq!((found.length, found.sha256), (size, sha256));
    assert_eq!(head.length, size);
    place.store.remove(key).await.unwrap();
    assert_eq!(place.store.hash(key).await.unwrap(), None);
}

async fn a_copy_is_young_and_whole(place: &Place) {
    let store = &place.store;
    let before = store.head("large/one").await.unwrap().unwrap();
    assert!(!store.copy("large/none", "aside/none").await.unwrap());
    let mut after = before.clone();
    // Stores may tell seconds only.
    while after.modified <= before.modified {
        assert!(store.copy("large/one", "aside/one").await.unwrap());
        after = store.head("aside/one").await.unwrap().unwrap();
    }
    assert_eq!(after.length, before.length);
    let hash = async |key| store.hash(key).await.unwrap().unwrap().0.sha256;
    assert_eq!(hash("large/one").await, hash("aside/one").await);
    store.remove("aside/one").await.unwrap();
}

async fn nothing_is_too_long_unnoticed(place: &Place) {
    let (_scratch, folder) = Place::scratch();
    let read = place.store.read("large/one", 1000).await;
    assert!(matches!(read, Err(StoreError::TooLong { limit: 1000, .. })));
    let to = folder.join("one");
    let fetched = place.store.fetch("large/one", &to, 1000).await;
    assert!(matches!(
        fetched,
        Err(StoreError::TooLong { limit: 1000, .. })
    ));
}

async fn a_broken_upload_leaves_nothing(place: &Place) {
    let bytes = Bytes::from(vec![7; 3_000_000]);
    place.break_next_upload();
    let created = place.store.create("folder/broken", bytes.clone()).await;
    assert!(
        matches!(created, Err(StoreError::Unavailable { .. })),
        "{created:?}"
    );
    place.heal();
    assert_eq!(place.store.list("folder").await.unwrap(), []);
    assert_eq!(
        place.store.read("folder/broken", 4 << 20).await.unwrap(),
        None
    );
    let created = place.store.create("folder/broken", bytes).await.unwrap();
    assert_eq!(created, Created::New, "and does not stand in the way");
}

async fn a_store_that_comes_back_is_used(place: &Place) {
    place.cut();
    for _ in 0..2 {
        let error = place.store.list("many").await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{text}");
        assert!(text.contains(place.store.place()), "{text}");
        assert!(!text.contains("Eby8vdM02xNOcqFlqUwJ"), "no key: {text}");
    }
    // One that is away for a moment is not even noticed.
    let listing = tokio::spawn({
        let store = place.store.clone();
        async move { store.list("many").await }
    });
    place.heal();
    assert_eq!(listing.await.unwrap().unwrap().len(), 1_100);
}

/// Many servers that speak S3 accept the condition and ignore it.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_overwrites_is_found_out() {
    let Some(server) = emulators::s3(TMP).await else {
        return;
    };
    let proxy = Proxy::forgetful(server.address).await;
    let store = server.open(proxy.address);
    let error = store.probe().await.unwrap_err();
    assert!(matches!(error, StoreError::Overwrites { .. }), "{error}");
    assert!(server.open(server.address).probe().await.is_ok());
}

/// There is no server to try it on, so this says only that its URLs and keys are understood.
#[test]
fn google_is_set_up_from_its_own_variables() {
    let account = r#"{"gcs_base_url":"http://127.0.0.1:1","disable_oauth":true,"client_email":"","private_key":"",
        "private_key_id":""}"#;
    let settings = [("google_service_account_key", account)];
    let store = emulators::open_with("gs://bucket/prefix", &settings);
    assert_eq!(store.place(), "gs://bucket/prefix");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_said_at_once() {
    let Some(server) = emulators::azure(TMP).await else {
        return;
    };
    let settings = [
        ("azure_storage_account_name", "devstoreaccount1"),
        ("azure_storage_account_key", "d3Jvbmc="),
        ("azure_allow_http", "true"),
        (
            "azure_storage_endpoint",
            &format!("http://{}/devstoreaccount1", server.address),
        ),
    ];
    let store = emulators::open_with("az://archive/prefix", &settings);
    let error = store.probe().await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    assert!(!error.to_string().contains("d3Jvbmc"), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_not_made() {
    let (_scratch, folder) = Place::scratch();
    let folder = folder.join("not/mounted");
    let patience = objects::Patience {
        tries: 1,
        ..objects::Patience::default()
    };
    let store = objects::Store::open(&format!("file://{}", folder.display())).unwrap();
    let error = store.with_patience(patience).probe().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("mount it"), "{error}");
    assert!(!folder.exists());
}

#[test]
fn an_archive_is_named_by_a_url_without_secrets() {
    use objects::{OpenError, Store};
    let open = |url: &str| Store::open(url).unwrap_err();
    assert!(matches!(open("/mnt/archive"), OpenError::Malformed { .. }));
    assert!(matches!(
        open("https://example.com/a"),
        OpenError::Scheme { .. }
    ));
    for secret in [
        "az://user:SECRET@container/prefix",
        "az://container/prefix?sig=SECRET",
        "s3://SECRET@bucket/prefix",
        "s3://bucket/#SECRET",
    ] {
        let error = open(secret);
        assert!(matches!(error, OpenError::Credentials), "{error}");
        assert!(!format!("{error} {error:?}").contains("SECRET"));
    }
}
