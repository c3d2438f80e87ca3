//! Reading and writing at a server on loopback that misbehaves: as a bucket of S3, and as a web server.

mod server;

use std::{io, path::Path, sync::Arc, time::Duration};

use object_store::{BackoffConfig, RetryConfig, aws::AmazonS3Builder};

use self::server::{Fault, Server};
use crate::{
    Blob, Kind, StoreError,
    address::Address,
    blocks::{BLOCK, Source},
    is_of_the_store, metadata, metadata_of,
    provider::{Provider, When},
    read, read_within,
    runtime::wait,
    schemes::object_stores::Bucket,
};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Bytes in which a wrong place is seen.
fn content(length: usize) -> Vec<u8> {
    (0..length.div_ceil(4) as u32)
        .flat_map(|place| place.wrapping_mul(2_654_435_761).to_le_bytes())
        .take(length)
        .collect()
}

/// The bucket, with waits of milliseconds.
fn bucket(server: &Server) -> Result<Arc<dyn Provider>, object_store::Error> {
    let backoff =
        BackoffConfig { init_backoff: Duration::from_millis(1), max_backoff: Duration::from_millis(2), base: 2.0 };
    let store = AmazonS3Builder::new()
        .with_bucket_name("bucket")
        .with_endpoint(format!("http://{}", server.address))
        .with_allow_http(true)
        .with_access_key_id("key")
        .with_secret_access_key("very secret")
        .with_retry(RetryConfig { backoff, max_retries: 10, retry_timeout: Duration::from_secs(30) })
        .with_http_connector(crate::schemes::object_stores::Connector { plain: true })
        .build()?;
    Ok(Arc::new(Bucket::new("s3://bucket".to_owned(), store)))
}

/// A file of the bucket, opened.
fn open(server: &Server, key: &str) -> Result<Blob, Box<dyn std::error::Error>> {
    let (provider, own) = (bucket(server)?, key.to_owned());
    let object = wait({
        let provider = Arc::clone(&provider);
        async move { provider.head(&own).await }
    })??;
    let address = Address::of(&Path::new("s3://bucket").join(key))?.ok_or("an address")?;
    Ok(Blob::remote(Source::new(address, provider, object, false)))
}

fn whole(blob: &Blob) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut blob.reader(), &mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_file_is_read_forwards_by_blocks() -> Outcome {
    let bytes = content(9 * BLOCK as usize + 77);
    let server = Server::start(&[("bucket/a b.tar", &bytes), ("w/a.tar", &bytes)])?;
    assert!(whole(&open(&server, "a b.tar")?)? == bytes, "of a bucket");
    assert_eq!(server.requests(), 1 + 10, "{:?}", server.inside().requests);
    assert!(whole(&Blob::open(&server.web("w/a.tar"))?)? == bytes, "of the web");
    assert_eq!(server.requests(), 2 * (1 + 10));
    Ok(())
}

#[test]
fn whatever_goes_wrong_in_passing_the_bytes_are_the_same() -> Outcome {
    let bytes = content(3 * BLOCK as usize);
    let server = Server::start(&[("bucket/a.tar", &bytes), ("w/a.tar", &bytes)])?;
    let faults = || {
        [
            Fault::Status(500, "<Error><Code>InternalError</Code></Error>"),
            Fault::Status(503, "<Error><Code>SlowDown</Code></Error>"),
            Fault::Cut(0),
            Fault::Cut(1),
            Fault::Cut(1_000_000),
            Fault::Cut(BLOCK as usize - 1),
            Fault::Late(Duration::from_millis(300)),
        ]
    };
    let blob = open(&server, "a.tar")?;
    server.faults(faults());
    assert!(whole(&blob)? == bytes, "of a bucket");
    let blob = Blob::open(&server.web("w/a.tar"))?;
    server.faults(faults());
    assert!(whole(&blob)? == bytes, "of the web");
    assert!(server.inside().faults.is_empty());
    Ok(())
}

#[test]
fn a_body_that_broke_off_goes_on_at_its_byte() -> Outcome {
    let bytes = content(1000);
    let server = Server::start(&[("bucket/a", &bytes), ("w/a", &bytes)])?;
    let blobs = [open(&server, "a")?, Blob::open(&server.web("w/a"))?];
    for blob in blobs {
        server.inside().ranges.clear();
        server.faults([Fault::Cut(600)]);
        assert!(whole(&blob)? == bytes);
        assert_eq!(server.inside().ranges, [0..1000, 600..1000]);
    }
    Ok(())
}

#[test]
fn a_refusal_that_breaks_off_is_asked_for_again() -> Outcome {
    let server = Server::start(&[("bucket/there", b"old")])?;
    let provider = bucket(&server)?;
    let cuts = || server.faults([Fault::Cut(9), Fault::Cut(9)]);
    cuts();
    let reader = Arc::clone(&provider);
    let missing = wait(async move { reader.start("missing", 9).await })?.err();
    assert!(matches!(missing, Some(StoreError::NotFound { .. })), "{missing:?}");
    cuts();
    let put = wait(async move { provider.put("there", "new".into(), When::New).await })?.err();
    assert!(matches!(put, Some(StoreError::Changed { .. })), "{put:?}");
    assert!(server.inside().faults.is_empty());
    Ok(())
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told() -> Outcome {
    let bytes = content(3 * BLOCK as usize);
    let server = Server::start(&[("bucket/a", &bytes), ("w/a", &bytes)])?;
    for blob in [open(&server, "a")?, Blob::open(&server.web("w/a"))?] {
        for cut in [None, Some(Fault::Cut(9))] {
            let watched = blob.watched();
            // As many as there are requests at most: blocks behind are fetched at the same time.
            server.faults(cut.into_iter().chain((0..8).map(|_request| Fault::Changed)));
            let error = watched.read_exact_at(&mut vec![0; 500], BLOCK).err().ok_or("it was read")?;
            assert!(matches!(StoreError::within(&error), Some(StoreError::ChangedWhileRead { .. })), "{error}");
            assert!(is_of_the_store(&error) && watched.failure().is_some() && blob.failure().is_none());
            server.inside().faults.clear();
        }
    }
    Ok(())
}

#[test]
fn what_no_try_mends_is_told_and_asked_again_later() -> Outcome {
    let server = Server::start(&[("bucket/a", &content(100))])?;
    let blob = open(&server, "a")?;
    server.faults((0..60).map(|_try| Fault::Status(503, "<Error><Code>SlowDown</Code></Error>")));
    let errors: Vec<_> = std::thread::scope(|scope| {
        let read = || whole(&blob).err();
        let threads: Vec<_> = (0..3).map(|_thread| scope.spawn(read)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok().flatten()).collect()
    });
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(|error| is_of_the_store(error)), "{errors:?}");
    server.inside().faults.clear();
    assert_eq!(whole(&blob)?, content(100));
    Ok(())
}

#[test]
fn single_images_are_fetched_alone_and_neighbours_by_blocks() -> Outcome {
    let bytes = content(40 * BLOCK as usize);
    let server = Server::start(&[("bucket/a", &bytes)])?;
    let blob = open(&server, "a")?;
    let read = |place: usize, length: usize| -> io::Result<()> {
        let mut part = vec![0; length];
        blob.read_exact_at(&mut part, place as u64)?;
        assert!(part == bytes[place..place + length], "{place}");
        Ok(())
    };
    let block = BLOCK as usize;
    read(30 * block + 5, 1000)?;
    assert_eq!(
        std::mem::take(&mut server.inside().ranges),
        std::iter::once(30 * block + 5..30 * block + 1005).collect::<Vec<_>>()
    );
    read(30 * block + 2000, 1000)?;
    read(30 * block + 500_000, 1000)?;
    assert_eq!(
        std::mem::take(&mut server.inside().ranges),
        std::iter::once(30 * block..31 * block).collect::<Vec<_>>()
    );
    // Over the end of a block.
    read(31 * block - 10, 20)?;
    read(0, 9 * block)?;
    Ok(())
}

#[test]
fn small_files_take_one_request_and_large_ones_are_refused_unread() -> Outcome {
    let large = content(5 * BLOCK as usize + 1);
    let server = Server::start(&[("w/small", b"abc"), ("w/empty", b""), ("w/large", &large), ("bucket/empty", b"")])?;
    assert_eq!(read(&server.web("w/small"))?, b"abc");
    assert!(read(&server.web("w/large"))? == large);
    assert_eq!(read(&server.web("w/empty"))?, b"");
    assert_eq!(read_within(&server.web("w/large"), 1000)?, Err(large.len() as u64));
    let provider = bucket(&server)?;
    let started = wait(async move { provider.start("empty", 100).await })??;
    assert_eq!((started.0.size, started.1.len()), (0, 0));
    let before = server.requests();
    let gone = read(&server.web("w/gone")).err().ok_or("it was read")?;
    assert!(gone.kind() == io::ErrorKind::NotFound && !is_of_the_store(&gone), "{gone}");
    assert_eq!(server.requests(), before + 1);
    Ok(())
}

#[test]
fn a_server_without_parts_is_refused_by_name() -> Outcome {
    let server = Server::start(&[("w/a", b"abc")])?;
    server.inside().no_ranges = true;
    let error = Blob::open(&server.web("w/a")).err().ok_or("it was opened")?;
    assert!(error.to_string().contains("does not give parts of files"), "{error}");
    let error = crate::read_dir(&server.web("w")).err().ok_or("it was listed")?;
    assert!(error.to_string().contains("does not list its files"), "{error}");
    Ok(())
}

#[test]
fn who_is_refused_is_told_why() -> Outcome {
    let server = Server::start(&[("bucket/a", b"abc"), ("w/a", b"abc")])?;
    let cases = [
        (403, "<Error><Code>AccessDenied</Code></Error>", "refuses access"),
        (403, "<Error><Code>InvalidAccessKeyId</Code></Error>", "does not accept the credentials"),
        (401, "", "does not accept the credentials"),
        (301, "<Error><Code>PermanentRedirect</Code></Error>", "lies in another region"),
        (400, "<Error><Code>AuthorizationHeaderMalformed</Code></Error>", "lies in another region"),
        (404, "", "does not exist"),
    ];
    let provider = bucket(&server)?;
    for (status, text, expected) in cases {
        server.faults([Fault::Status(status, text)]);
        let provider = Arc::clone(&provider);
        // `start` and not `head`: an answer to HEAD has no body that says more.
        let error = wait(async move { provider.range("a", 0..3, None).await })?.err().ok_or("it was read")?;
        let said = error.to_string();
        assert!(said.contains(expected) && said.contains("s3://bucket/a"), "{said}");
        assert!(!format!("{error:?}").contains("very secret"));
    }
    server.faults([Fault::Status(403, "")]);
    let address = server.web("w/a?X-Amz-Signature=very-secret");
    let error = Blob::open(&address).err().ok_or("it was opened")?;
    assert!(error.to_string().contains("refuses access") && !format!("{error:?}").contains("very-secret"), "{error:?}");
    assert!(
        Blob::open(&address).is_ok()
            && server.inside().requests.last().is_some_and(|asked| asked.contains("very-secret"))
    );
    Ok(())
}

#[test]
fn folders_are_beginnings_of_keys() -> Outcome {
    let files = ["f/", "f/a.jpg", "f/x/b.jpg", "f/x/y/c.jpg", "g.jpg"];
    let files: Vec<(String, &[u8])> = files.iter().map(|name| (format!("bucket/{name}"), b"12".as_slice())).collect();
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
    let server = Server::start(&files)?;
    let provider = bucket(&server)?;
    let listed = |deep| {
        let provider = Arc::clone(&provider);
        wait(async move { provider.list("f", deep).await })
    };
    let names = |files: Vec<crate::provider::Object>| files.into_iter().map(|file| file.key).collect::<Vec<_>>();
    server.faults([Fault::Cut(9), Fault::Cut(9)]);
    let flat = listed(false)??;
    assert_eq!((names(flat.files), flat.folders), (vec!["f".to_owned(), "f/a.jpg".to_owned()], vec!["f/x".to_owned()]));
    assert_eq!(names(listed(true)??.files), ["f", "f/a.jpg", "f/x/b.jpg", "f/x/y/c.jpg"]);
    Ok(())
}

#[test]
fn writes_have_conditions() -> Outcome {
    let server = Server::start(&[])?;
    let provider = bucket(&server)?;
    let put = |text: &'static str, when| {
        let provider = Arc::clone(&provider);
        wait(async move { provider.put("p", text.into(), when).await })
    };
    let first = put("1", When::New)??.ok_or("a version")?;
    assert!(matches!(put("2", When::New)?, Err(StoreError::Changed { .. })));
    let second = put("2", When::Still(first.clone()))??.ok_or("a version")?;
    assert!(first != second && matches!(put("3", When::Still(first))?, Err(StoreError::Changed { .. })));
    put("4", When::Always)??;
    let gone = Arc::clone(&provider);
    wait(async move { gone.remove("p").await })??;
    assert!(matches!(put("5", When::Still(second))?, Err(StoreError::Changed { .. } | StoreError::NotFound { .. })));
    Ok(())
}

#[test]
fn many_files_are_asked_about_at_once() -> Outcome {
    let server = Server::start(&[("w/a", b"abc"), ("w/b", b"")])?;
    let found = metadata_of(&[server.web("w/b"), server.web("w/gone"), server.web("w/a")])?;
    let lengths: Vec<_> = found.iter().map(|found| found.as_ref().ok().map(|found| found.length)).collect();
    assert_eq!(lengths, [Some(0), None, Some(3)]);
    let found = metadata(&server.web("w/a"))?;
    assert_eq!(found.kind, Kind::File);
    let blob = Blob::known(&server.web("w/a"), &found)?;
    let before = server.requests();
    assert_eq!((whole(&blob)?, server.requests()), (b"abc".to_vec(), before + 1));
    Ok(())
}
