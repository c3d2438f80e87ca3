//! The labeller and the ways in which endpoints fail: keys and addresses, redirects, silence, waits, bodies that are none.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use headspan_label::{OpenAiSettings, openai::OpenAiError};
use serde_json::json;

#[path = "support/server.rs"]
mod server;
mod support;

use server::{KEY, Server, good, labelled, reply};
use support::{heads, label, settings};

#[tokio::test]
async fn a_query_and_a_key_go_where_they_belong() {
    let (server, mut settings) = Server::start(good).await;
    let host = settings.base_url.replace("/v1", "");
    KEY.0.clone_into(&mut settings.api_key_env);
    for (base, path) in [
        ("/v1/", "/v1/chat/completions"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/a/b?api-version=1&x=2", "/a/b/chat/completions?api-version=1&x=2"),
    ] {
        settings.base_url = format!("{host}{base}");
        assert_eq!(labelled(&settings).await.as_deref(), Ok("colors"), "{base}");
        let requests = server.requests.lock().expect("no panic before");
        let last = requests.last().expect("a request");
        assert_eq!(last.uri.to_string(), path);
        assert_eq!(last.headers[header::AUTHORIZATION], format!("Bearer {}", KEY.1));
    }
    settings.api_key_env = "HEADSPAN_TEST_KEY_THAT_IS_NOT_SET".to_owned();
    assert_eq!(labelled(&settings).await.as_deref(), Ok("colors"));
    let requests = server.requests.lock().expect("no panic before");
    assert!(!requests.last().expect("a request").headers.contains_key(header::AUTHORIZATION));
}

#[tokio::test]
async fn an_endpoint_that_repeats_the_key_does_not_bring_it_into_messages() {
    for status in [200, 401, 500] {
        let body = json!({ "error": { "message": format!("invalid key: {}", KEY.1), "code": 401 } });
        let (_server, settings) = Server::start(move |_request| reply(status, &body)).await;
        let message =
            labelled(&OpenAiSettings { api_key_env: KEY.0.to_owned(), ..settings }).await.expect_err("refused");
        assert!(message.contains("invalid key: …") && !message.contains(KEY.1), "{message}");
    }
}

#[tokio::test]
async fn a_redirect_elsewhere_is_not_followed() {
    let moved = |status: u16, to: String| {
        Response::builder().status(status).header(header::LOCATION, to).body(Body::empty()).expect("a response")
    };
    let (other, elsewhere) = Server::start(good).await;
    for (status, to) in
        [(301, "/v2/chat/completions".to_owned()), (308, format!("{}/chat/completions?key=secret", elsewhere.base_url))]
    {
        let own = to.clone();
        let (server, settings) = Server::start(move |_request| moved(status, own.clone())).await;
        let message = labelled(&settings).await.expect_err("moved");
        assert!(message.contains("redirects to `http://127.0.0.1:") && !message.contains("secret"), "{message}");
        assert_eq!(server.requests(), 1, "{to}");
    }
    assert_eq!(other.requests(), 0, "another server is not told anything");
    let (server, settings) = Server::start(move |request| match request.uri.path() {
        "/v1/chat/completions" => moved(307, "/v2/chat/completions/".to_owned()),
        _ => good(request),
    })
    .await;
    assert_eq!(labelled(&settings).await.as_deref(), Ok("colors"), "the same question on the same host");
    assert_eq!(server.requests(), 8);
}

#[tokio::test]
async fn what_never_answers_ends() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let mut silent = OpenAiSettings { timeout_secs: 0.1, ..settings(url) };
    let message = labelled(&silent).await.expect_err("silent");
    assert!(message.contains("3 tries") && message.contains("no answer in time"), "{message}");
    (silent.total_secs, silent.max_retries) = (0.25, 1000);
    let started = Instant::now();
    labelled(&silent).await.expect_err("silent");
    assert!(started.elapsed() < Duration::from_secs(20), "the limit ends it, not the tries");
    let dead = settings("http://127.0.0.1:9/v1".to_owned());
    let message = labelled(&dead).await.expect_err("nobody");
    assert!(message.contains("http://127.0.0.1:9/v1") && message.to_lowercase().contains("connect"), "{message}");
}

#[tokio::test]
async fn a_wait_that_is_too_long_ends_and_a_date_is_kept() {
    let busy = |wait: &str| {
        Response::builder().status(429).header("retry-after", wait).body(Body::empty()).expect("a response")
    };
    let (server, settings) = Server::start(move |_request| busy("86400")).await;
    let message = labelled(&settings).await.expect_err("too long");
    assert!(message.contains("86400 s") && message.contains("429"), "{message}");
    assert_eq!(server.requests(), 1);
    let first = Mutex::new(true);
    let (server, settings) = Server::start(move |request| {
        let is_first = std::mem::take(&mut *first.lock().expect("no panic before"));
        if is_first { busy("Sun, 06 Nov 1994 08:49:37 GMT") } else { good(request) }
    })
    .await;
    assert_eq!(labelled(&settings).await.as_deref(), Ok("colors"), "a date that has passed");
    assert_eq!(server.requests(), 5);
}

#[tokio::test]
async fn bodies_that_are_no_answers_end_and_say_what_they_are() {
    let huge = || {
        let chunk = Bytes::from(vec![b' '; 1 << 20]);
        Body::from_stream(futures::stream::iter((0..64).map(move |_| Ok::<_, std::io::Error>(chunk.clone()))))
            .into_response()
    };
    let (_server, settings) = Server::start(move |_request| huge()).await;
    let message = labelled(&settings).await.expect_err("too large");
    assert!(message.contains("larger than 8388608 bytes"), "{message}");
    for (body, expected) in [
        (&b""[..], "not a chat completion: nothing"),
        (b"<!doctype html><title>Open WebUI</title>", "not a chat completion: a web page, `Open WebUI`"),
        (b"\xff\xfe\x00", "not a chat completion"),
        (b"data: [DONE]\n\n", "not a chat completion"),
        (br#"{"error": {"message": "no credits", "code": 402}}"#, "no credits"),
    ] {
        let (_server, settings) = Server::start(move |_request| body.into_response()).await;
        let message = labelled(&settings).await.expect_err("no answer");
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_say_which() {
    let cache = tempfile::tempdir().expect("a folder");
    for (changed, part) in [
        (OpenAiSettings { base_url: "localhost:8000/v1".to_owned(), ..OpenAiSettings::default() }, "base_url"),
        (OpenAiSettings { model: String::new(), ..OpenAiSettings::default() }, "`model`"),
        (OpenAiSettings { judges: vec![" ".to_owned()], ..OpenAiSettings::default() }, "`model`"),
        (OpenAiSettings { api_key_env: "sk-1".to_owned(), ..OpenAiSettings::default() }, "api_key_env"),
    ] {
        let error: OpenAiError = label(&changed, &heads(1), cache.path()).await.expect_err("unusable");
        assert!(error.to_string().contains(part), "{error}");
    }
    for bad in
        [json!({ "base_url": "localhost:8000/v1" }), json!({ "total_secs": 0.0 }), json!({ "answer_tokens": -1 })]
    {
        assert!(serde_json::from_value::<OpenAiSettings>(bad.clone()).is_err(), "{bad}");
    }
}
