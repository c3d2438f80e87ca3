//! `headspan fetch` against a server on loopback with a hub's layout: the tiny checkpoint poses as ViT-B-32_openai.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use fs_err as fs;
use futures::StreamExt;
use sha2::{Digest, Sha256};

use crate::support::{Outcome, World, stderr_of};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const MODEL: &str = "ViT-B-32_openai";

struct Hub {
    files: BTreeMap<String, Vec<u8>>,
    /// The next download of weights breaks off halfway.
    cut_next: AtomicBool,
    /// The first byte of every weights file is wrong.
    damaged: AtomicBool,
    sent: AtomicU64,
    token_seen: AtomicBool,
}

impl Hub {
    fn start(world: &World) -> Result<(Arc<Self>, String), Box<dyn std::error::Error>> {
        let mut files = BTreeMap::from([("pool.txt".to_owned(), b"A red cat\nA blue dog".to_vec())]);
        for name in ["open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json"] {
            files.insert(name.to_owned(), fs::read(world.path("tiny").join(name))?);
        }
        let hub = Arc::new(Self {
            files,
            cut_next: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            token_seen: AtomicBool::new(false),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = format!("http://{}", listener.local_addr()?);
        let app = Router::new().fallback(axum::routing::any(answer)).with_state(Arc::clone(&hub));
        std::thread::spawn(move || -> std::io::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener)?, app).await })
        });
        Ok((hub, address))
    }
}

async fn answer(State(hub): State<Arc<Hub>>, headers: HeaderMap, uri: Uri) -> Response {
    if headers.contains_key(header::AUTHORIZATION) {
        hub.token_seen.store(true, Ordering::SeqCst);
    }
    let path = uri.path();
    let name = path.rsplit('/').next().unwrap_or_default();
    let Some(content) = hub.files.get(name) else {
        return Response::builder().status(StatusCode::NOT_FOUND).body(Body::empty()).expect("a response");
    };
    if path.contains("/resolve/") {
        let hash: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        return Response::builder()
            .status(StatusCode::FOUND)
            .header("x-repo-commit", COMMIT)
            .header("x-linked-etag", format!("\"{hash}\""))
            .header("x-linked-size", content.len())
            .header(header::LOCATION, format!("/cdn/{name}"))
            .body(Body::empty())
            .expect("a response");
    }
    let weights = name.ends_with(".safetensors");
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()).unwrap_or(0);
    let mut bytes = content[start..].to_vec();
    if weights && hub.damaged.load(Ordering::SeqCst) {
        bytes[0] ^= 1;
    }
    let cut = weights && hub.cut_next.swap(false, Ordering::SeqCst);
    if weights {
        hub.sent.fetch_add(if cut { bytes.len() / 2 } else { bytes.len() } as u64, Ordering::SeqCst);
    }
    let mut response = Response::builder().status(if start > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK });
    if start > 0 {
        let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
        response = response.header(header::CONTENT_RANGE, range);
    }
    if !cut {
        return response.body(Body::from(bytes)).expect("a response");
    }
    let half = Bytes::from(bytes[..bytes.len() / 2].to_vec());
    // The pause lets the first half reach the client before the connection breaks.
    let broken = futures::stream::iter([Ok(half)]).chain(futures::stream::once(async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Err(std::io::Error::other("cut"))
    }));
    response.body(Body::from_stream(broken)).expect("a response")
}

/// `headspan fetch NAME` with its cache below the world's folder.
fn fetch(world: &World, endpoint: &str, name: &str) -> Command {
    let mut command = world.bare();
    command.args(["fetch", name]).env("HF_ENDPOINT", endpoint).env("HF_HOME", world.path("home"));
    command.env("HEADSPAN_POOL_URL", format!("{endpoint}/pool.txt")).env_remove("HF_HUB_CACHE");
    command.env_remove("HF_HUB_OFFLINE").env_remove("HF_TOKEN");
    command
}

#[test]
fn a_fetched_model_runs_by_its_name() -> Outcome {
    let world = World::new(4)?;
    let (hub, endpoint) = Hub::start(&world)?;
    hub.cut_next.store(true, Ordering::SeqCst);
    let output = fetch(&world, &endpoint, MODEL).output()?;
    stderr_of(&output, 0);
    let printed = String::from_utf8(output.stdout)?;
    assert_eq!(printed.lines().count(), 3, "one path a file:\n{printed}");
    for path in printed.lines() {
        let name = path.rsplit('/').next().ok_or("a path")?;
        assert_eq!(fs::read(path)?, hub.files[name], "{path}");
        assert!(path.contains("models--timm--vit_base_patch32_clip_224.openai/snapshots"), "{path}");
    }
    let (sent, size) = (hub.sent.load(Ordering::SeqCst), hub.files["open_clip_model.safetensors"].len() as u64);
    assert_eq!(sent, size, "the cut download continued where it was");

    let mut run = world.command("run-all", "runs");
    run.arg(MODEL).arg("--images").arg(world.path("images")).arg("--texts").arg(world.path("pool.csv"));
    run.args(["--device", "cpu", "--k", "4"])
        .env("HF_HOME", world.path("home"))
        .env("HF_ENDPOINT", "http://127.0.0.1:9");
    stderr_of(&run.output()?, 0);
    assert!(world.path("runs/toy").join(MODEL).join("metrics.parquet").is_file());
    Ok(())
}

#[test]
fn damaged_weights_are_refused_and_fetched_again() -> Outcome {
    let world = World::new(0)?;
    let (hub, endpoint) = Hub::start(&world)?;
    hub.damaged.store(true, Ordering::SeqCst);
    let message = stderr_of(&fetch(&world, &endpoint, MODEL).output()?, 1);
    assert!(message.contains("SHA-256") && message.contains("open_clip_model.safetensors"), "{message}");
    hub.damaged.store(false, Ordering::SeqCst);
    stderr_of(&fetch(&world, &endpoint, MODEL).output()?, 0);
    Ok(())
}

#[test]
fn the_published_pool_is_fetched_below_data() -> Outcome {
    let world = World::new(0)?;
    let (hub, endpoint) = Hub::start(&world)?;
    let output = fetch(&world, &endpoint, "descriptions").output()?;
    stderr_of(&output, 0);
    let printed = String::from_utf8(output.stdout)?;
    assert_eq!(fs::read(world.path(printed.trim()))?, hub.files["pool.txt"]);
    Ok(())
}

/// As Python leaves it after reading a configuration alone, before the repository got another commit.
#[test]
fn a_model_of_which_an_older_commit_is_cached_in_part_is_fetched_whole() -> Outcome {
    let world = World::new(0)?;
    let (hub, endpoint) = Hub::start(&world)?;
    let repository = world.path("home").join("hub/models--timm--vit_base_patch32_clip_224.openai");
    let old = "f".repeat(40);
    let config = repository.join("snapshots").join(&old).join("open_clip_config.json");
    fs::create_dir_all(config.parent().ok_or("a folder")?)?;
    fs::write(config, "{}")?;
    fs::create_dir_all(repository.join("refs"))?;
    fs::write(repository.join("refs/main"), &old)?;

    let output = fetch(&world, &endpoint, MODEL).output()?;
    stderr_of(&output, 0);
    for path in String::from_utf8(output.stdout.clone())?.lines() {
        assert!(path.contains(COMMIT), "{path}");
        assert_eq!(fs::read(path)?, hub.files[path.rsplit('/').next().ok_or("a path")?]);
    }
    let offline = fetch(&world, "http://127.0.0.1:9", MODEL).env("HF_HUB_OFFLINE", "1").output()?;
    stderr_of(&offline, 0);
    assert_eq!(offline.stdout, output.stdout, "what is fetched is found");
    Ok(())
}

#[test]
fn offline_says_so() -> Outcome {
    let world = World::new(0)?;
    let (_hub, endpoint) = Hub::start(&world)?;
    for name in [MODEL, "descriptions"] {
        let message = stderr_of(&fetch(&world, &endpoint, name).env("HF_HUB_OFFLINE", "1").output()?, 1);
        assert!(message.contains("HF_HUB_OFFLINE"), "{message}");
    }
    Ok(())
}

#[test]
fn the_pool_is_fetched_from_another_host_without_the_token() -> Outcome {
    let world = World::new(0)?;
    let (hub, endpoint) = Hub::start(&world)?;
    let fetch = |endpoint: &str, pool: &str| -> Outcome {
        let mut command = fetch(&world, endpoint, "descriptions");
        command.env("HF_TOKEN", "hf_secret").env("HEADSPAN_POOL_URL", format!("{pool}/pool.txt"));
        stderr_of(&command.output()?, 0);
        Ok(())
    };
    fetch("https://hub.example", &endpoint)?;
    assert!(!hub.token_seen.load(Ordering::SeqCst));
    fetch(&endpoint, &endpoint)?;
    assert!(hub.token_seen.load(Ordering::SeqCst), "the server of this test notices a token");
    Ok(())
}
