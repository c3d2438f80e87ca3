//! Data sets at addresses of a web server, which may begin to refuse.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow_array::{ArrayRef, BinaryArray, RecordBatch};
use fs_err as fs;
use headspan_images::{Dataset, DatasetError, ReadError};

use crate::{Outcome, ids, settings, write, write_parquet, write_tar};

/// Serves a folder by ranges. It says no versions, so that nothing is kept on this machine's disk.
struct Web {
    address: String,
    /// Whether all but the starts of files are refused.
    refuses: Arc<AtomicBool>,
}

impl Web {
    fn start(folder: &Path) -> std::io::Result<Self> {
        let (listener, refuses) = (TcpListener::bind("127.0.0.1:0")?, Arc::new(AtomicBool::new(false)));
        let address = format!("http://{}", listener.local_addr()?);
        let (folder, refused) = (folder.to_owned(), Arc::clone(&refuses));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (folder, refused) = (folder.clone(), Arc::clone(&refused));
                std::thread::spawn(move || serve(connection, &folder, &refused));
            }
        });
        Ok(Self { address, refuses })
    }

    fn path(&self, name: &str) -> PathBuf {
        format!("{}/{name}", self.address).into()
    }

    fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::SeqCst);
    }
}

/// Answers the requests of a connection until it ends.
fn serve(mut connection: TcpStream, folder: &Path, refuses: &AtomicBool) -> Option<()> {
    let mut lines = BufReader::new(connection.try_clone().ok()?).lines();
    loop {
        let first = lines.next()?.ok()?;
        let name = first.split(' ').nth(1)?.trim_start_matches('/').to_owned();
        let mut range = None;
        for line in lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            range = line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned).or(range);
        }
        let (start, end) = range.as_deref()?.split_once('-')?;
        let (start, end): (usize, usize) = (start.parse().ok()?, end.parse().ok()?);
        let status =
            |connection: &mut TcpStream, text| write!(connection, "HTTP/1.1 {text}\r\ncontent-length: 0\r\n\r\n");
        let Ok(bytes) = fs::read(folder.join(name)) else {
            status(&mut connection, "404 Not Found").ok()?;
            continue;
        };
        if start > 0 && refuses.load(Ordering::SeqCst) {
            status(&mut connection, "403 Forbidden").ok()?;
            continue;
        }
        let part = &bytes[start.min(bytes.len())..(end + 1).min(bytes.len())];
        let range = format!("content-range: bytes {start}-{}/{}", start + part.len().max(1) - 1, bytes.len());
        let head = format!("HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\n{range}\r\n\r\n", part.len());
        connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(part)).ok()?;
    }
}

/// Three images that begin in blocks of their own, and are longer than what is fetched ahead behind their headers.
fn large() -> [Vec<u8>; 3] {
    [1, 2, 3].map(|letter| vec![letter; 24 << 20])
}

fn tar(folder: &Path, name: &str) -> Outcome {
    let [a, b, c] = large();
    write_tar(&folder.join(name), &[("a.jpg", &a), ("b.jpg", &b), ("b.cls", b"7"), ("c.jpg", &c)])
}

fn parquet(folder: &Path, name: &str) -> Outcome {
    let images: ArrayRef = Arc::new(BinaryArray::from_iter_values(large()));
    write_parquet(&folder.join(name), &RecordBatch::try_from_iter([("image", images)])?, 1)?;
    Ok(())
}

fn must_be_the_same(here: &Path, there: &Path) -> Outcome {
    let (here, there) = (Dataset::open(&settings(here))?, Dataset::open(&settings(there))?);
    assert_eq!((here.fingerprint(), here.warnings()), (there.fingerprint(), there.warnings()));
    assert_eq!(ids(&here), ids(&there));
    for index in (0..here.len()).rev() {
        assert!(here.read(index)? == there.read(index)?, "image {index}");
        assert_eq!(here.item(index), there.item(index));
    }
    Ok(())
}

#[test]
fn a_copy_at_an_address_is_the_same_data_set() -> Outcome {
    let folder = tempfile::tempdir()?;
    let web = Web::start(folder.path())?;
    for name in ["s-0.tar", "s-1.tar"] {
        tar(folder.path(), name)?;
    }
    parquet(folder.path(), "p.parquet")?;
    for name in ["s-{0..1}.tar", "s-1.tar", "p.parquet"] {
        must_be_the_same(&folder.path().join(name), &web.path(name))?;
    }
    write(&folder.path().join("i/a.png"), b"12")?;
    write(&folder.path().join("m.csv"), b"path,class\ni/a.png,x\n./i/../i/a.png,y\ngone.png,x\n")?;
    let listed = Dataset::open(&settings(&web.path("m.csv")))?;
    assert_eq!(listed.fingerprint(), Dataset::open(&settings(&folder.path().join("m.csv")))?.fingerprint());
    assert_eq!((listed.read(0)?, listed.read(1)?), (b"12".to_vec(), b"12".to_vec()));
    let gone = listed.read(2).err().ok_or("it was read")?;
    assert!(!gone.is_of_the_machine(), "{gone}");
    Ok(())
}

#[test]
fn a_store_that_refuses_in_the_middle_is_no_damage() -> Outcome {
    let folder = tempfile::tempdir()?;
    let web = Web::start(folder.path())?;
    tar(folder.path(), "s.tar")?;
    parquet(folder.path(), "p.parquet")?;
    for name in ["s.tar", "p.parquet"] {
        let path = web.path(name);
        web.refuse(true);
        let refused = Dataset::open(&settings(&path)).err().ok_or("it was listed")?;
        assert!(
            matches!(&refused, DatasetError::Io(error) if error.to_string().contains("refuses access")),
            "{refused}"
        );
        web.refuse(false);
        let dataset = Dataset::open(&settings(&path))?;
        web.refuse(true);
        let unread: Vec<ReadError> = (0..dataset.len()).filter_map(|index| dataset.read(index).err()).collect();
        assert!(!unread.is_empty() && unread.iter().all(ReadError::is_of_the_machine), "{unread:?}");
        web.refuse(false);
        // Blocks that are on their way meanwhile are refused yet.
        let again = (0..100).find_map(|_try| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            dataset.read(2).ok()
        });
        assert!(again.is_some_and(|bytes| bytes == large()[2]), "{name}");
    }
    Ok(())
}
