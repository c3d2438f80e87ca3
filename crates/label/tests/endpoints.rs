//! The labeller against endpoints in the shapes that servers have, and against those that refuse parts of a request.
//! `endpoints/` has one exchange a server, written from its documentation.

use std::{path::Path, sync::Arc};

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use headspan_label::OpenAiSettings;
use serde_json::{Value, json};

#[path = "support/server.rs"]
mod server;
mod support;

use server::{KEY, Request, Server, good, labelled, reply};
use support::{completion, good_answer, heads, label};

/// Puts what a model said into a body.
type Wrapped = Box<dyn Fn(&str) -> String + Send + Sync>;

/// A value with words replaced in all of its texts.
fn filled(value: &Value, words: &[(&str, &str)]) -> Value {
    match value {
        Value::String(text) => words.iter().fold(text.clone(), |text, (word, by)| text.replace(word, by)).into(),
        Value::Array(values) => values.iter().map(|value| filled(value, words)).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), filled(value, words))).collect(),
        other => other.clone(),
    }
}

/// Answers as an exchange says.
fn exchange(recorded: &Value, request: &Request) -> Response {
    let asked = request.uri.to_string();
    if let Some(path) = recorded["path"].as_str().filter(|path| *path != asked) {
        return reply(404, format!("not {path}"));
    }
    if let Some(name) = recorded["key_header"].as_str().filter(|name| !request.headers.contains_key(*name)) {
        return reply(401, format!("no {name}"));
    }
    for refusal in recorded["refusals"].as_array().into_iter().flatten() {
        let when = refusal["when"].as_object().expect("an object");
        if when.iter().all(|(pointer, value)| request.body.pointer(pointer) == Some(value)) {
            return reply(refusal["status"].as_u64().expect("a status") as u16, &refusal["body"]);
        }
    }
    let said = good_answer(&request.body);
    let (first, second) = said.split_at(said.len() / 2);
    let words = [("{said}", &*said), ("{first}", first), ("{second}", second)];
    let Some(events) = recorded["events"].as_array() else { return reply(200, filled(&recorded["answer"], &words)) };
    let event = |event: &Value| match event {
        Value::String(line) => format!("{line}\n\n"),
        event => format!("data: {}\n\n", filled(event, &words)),
    };
    let body: String = events.iter().map(event).collect();
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

#[tokio::test]
async fn every_recorded_server_labels_a_head() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/endpoints");
    let mut seen = 0;
    for entry in fs_err::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let recorded: Value = serde_json::from_slice(&fs_err::read(&path).expect("a file")).expect("JSON");
        let refusals = recorded["refusals"].as_array().expect("a list").len();
        let recorded = Arc::new(recorded);
        let own = Arc::clone(&recorded);
        let (server, mut settings) = Server::start(move |request| exchange(&own, request)).await;
        if let Some(path) = recorded["path"].as_str() {
            let path = path.replace("/chat/completions", "");
            settings.base_url = settings.base_url.replace("/v1", &path);
            KEY.0.clone_into(&mut settings.api_key_env);
        }
        settings.answer_tokens = recorded["answer_tokens"].as_u64().unwrap_or(0) as u32;
        assert_eq!(labelled(&settings).await.as_deref(), Ok("colors"), "{}", path.display());
        assert_eq!(server.requests(), 4 + refusals, "each refusal is met once: {}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 8);
}

/// What a server was asked.
fn asked(server: &Server) -> Vec<Value> {
    server.requests.lock().expect("no panic before").iter().map(|request| request.body.clone()).collect()
}

/// Requests that carry a field.
fn carries(field: &'static str) -> impl Fn(&Value) -> bool + Clone + Send + Sync + 'static {
    move |body| match field {
        "schema" => body["response_format"]["type"] == "json_schema",
        "any_format" => body.get("response_format").is_some(),
        "temperature" => body.get("temperature").is_some(),
        other => body.get(other).is_some(),
    }
}

#[tokio::test]
async fn what_an_endpoint_refuses_is_left_out_for_the_rest_of_the_run() {
    let bodies = [
        r#"{"error": {"message": "unsupported value", "type": "invalid_request_error"}}"#,
        r#"{"error": "bad request"}"#,
        r#"{"detail": "bad request"}"#,
        r#"{"detail": [{"msg": "bad request"}]}"#,
        r#"{"message": "bad request"}"#,
        "<html><title>Bad Request</title></html>",
        "",
    ];
    for status in [400, 422, 500, 501, 503] {
        for (fields, allowed) in
            [(&["schema"][..], 2), (&["any_format"], 3), (&["temperature"], 4), (&["any_format", "temperature"], 6)]
        {
            for body in bodies {
                let conditions: Vec<_> = fields.iter().map(|field| carries(field)).collect();
                let own = conditions.clone();
                let (server, settings) = Server::start(move |request| {
                    if own.iter().any(|carries| carries(&request.body)) { reply(status, body) } else { good(request) }
                })
                .await;
                let settings = OpenAiSettings { max_retries: 6, ..settings };
                assert_eq!(labelled(&settings).await.as_deref(), Ok("colors"), "{status} {fields:?} {body}");
                let is_refused = |body: &Value| conditions.iter().any(|carries| carries(body));
                let refused = asked(&server).iter().filter(|body| is_refused(body)).count();
                assert!((1..=allowed).contains(&refused), "{refused} refusals: {status} {fields:?} {body}");
                assert_eq!(server.requests(), 4 + refused);
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_that_names_the_temperature_keeps_the_schema() {
    let body = r#"{"error": {"message": "temperature does not support 0 with this model", "param": "temperature"}}"#;
    let (server, settings) =
        Server::start(
            move |request| if request.body.get("temperature").is_some() { reply(400, body) } else { good(request) },
        )
        .await;
    assert_eq!(labelled(&settings).await.as_deref(), Ok("colors"));
    let schemas = asked(&server).iter().filter(|body| body["response_format"]["type"] == "json_schema").count();
    assert_eq!((server.requests(), schemas), (5, 5));
}

#[tokio::test]
async fn each_model_has_its_own_form_and_concurrent_heads_share_it() {
    let body = r#"{"error": {"message": "response_format is not supported"}}"#;
    let (server, settings) = Server::start(move |request| {
        let refuses = request.body["model"] == "judge" && request.body.get("response_format").is_some();
        if refuses { reply(400, body) } else { good(request) }
    })
    .await;
    let settings = OpenAiSettings { judges: vec!["judge".to_owned()], concurrency: 4, ..settings };
    let cache = tempfile::tempdir().expect("a folder");
    let rows = label(&settings, &heads(6), cache.path()).await.expect("labels");
    assert!(rows.iter().all(|row| row.property.as_deref() == Some("colors")));
    assert_eq!(server.requests(), 6 * 4 + 2, "a schema and an object are refused once");
    let again = label(&settings, &heads(6), cache.path()).await.expect("labels");
    assert_eq!((again, server.requests()), (rows, 26), "answers are kept in whatever form they were asked for");
}

#[tokio::test]
async fn what_is_refused_in_every_form_says_what_the_endpoint_said() {
    let bodies = [
        (400, r#"{"error": "prompt too strange"}"#, 6),
        (404, r#"{"error": {"message": "prompt too strange"}}"#, 1),
        (403, r#"[{"error": {"message": "prompt too strange"}}]"#, 1),
        (402, "prompt too strange", 1),
        (422, r#"{"detail": [{"loc": ["body", "messages"], "msg": "prompt too strange"}]}"#, 1),
        (429, r#"{"error": {"message": "prompt too strange", "code": "insufficient_quota"}}"#, 1),
        (418, "<html><title>prompt too strange</title>", 1),
    ];
    for (status, body, requests) in bodies {
        let (server, settings) = Server::start(move |_request| reply(status, body)).await;
        let message = labelled(&settings).await.expect_err("refused");
        for part in [&status.to_string(), "prompt too strange", &settings.base_url] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert_eq!(server.requests(), requests, "{body}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_model_is_shown() {
    let refusal = "I will not name these pictures.";
    let streamed = format!("data: {}\n\n", json!({ "choices": [{ "index": 0, "delta": { "refusal": refusal } }] }));
    let filtered = json!({ "error": { "message": refusal, "param": "prompt", "code": "content_filter" } });
    for (status, body) in [
        (
            200,
            json!({ "choices": [{ "message": { "content": null, "refusal": refusal }, "finish_reason": "stop" }] })
                .to_string(),
        ),
        (200, json!({ "choices": [{ "message": { "content": "", "refusal": refusal } }] }).to_string()),
        (200, completion(refusal).to_string()),
        (200, streamed),
        (400, filtered.to_string()),
    ] {
        let own = body.clone();
        let (_server, settings) = Server::start(move |_request| reply(status, &own)).await;
        let message = labelled(&settings).await.expect_err("no label");
        assert!(message.contains(refusal) && message.contains("labeller"), "{body}: {message}");
    }
}

#[tokio::test]
async fn an_answer_that_stops_early_says_why() {
    for (finish, content, expected) in [
        ("length", "{\"prop", "cut off at the limit of tokens"),
        ("content_filter", "", "content filter"),
        ("stop", "", "empty"),
    ] {
        let mut body = completion(content);
        body["choices"][0]["finish_reason"] = finish.into();
        let (_server, settings) = Server::start(move |_request| reply(200, &body)).await;
        let message = labelled(&settings).await.expect_err("no label");
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn an_answer_is_found_wherever_a_server_puts_it() {
    let message = |message: Value| json!({ "choices": [{ "message": message, "finish_reason": "stop" }] }).to_string();
    let wrapped: Vec<Wrapped> = vec![
        Box::new(move |said| message(json!({ "content": null, "reasoning_content": said }))),
        Box::new(move |said| {
            message(json!({ "content": "", "reasoning_content": format!("Let me {{think}}. {said}") }))
        }),
        Box::new(move |said| {
            message(json!({ "content": "\n", "reasoning": format!("<think>So:\n```json\n{said}\n```") }))
        }),
        Box::new(move |said| {
            message(json!({ "content": format!("<think>perhaps {{\"property\": \"x\"}}</think>{said}") }))
        }),
        Box::new(move |said| message(json!({ "content": format!("<think>no end: {said}") }))),
        Box::new(move |said| message(json!({ "content": [{ "type": "text", "text": said }] }))),
        Box::new(move |said| message(json!({ "content": serde_json::from_str::<Value>(said).expect("JSON") }))),
        Box::new(move |said| message(json!({ "content": format!("Here it is: {said}. I hope that helps!") }))),
        Box::new(move |said| format!("\u{feff}\r\n{}", message(json!({ "content": said })))),
        Box::new(move |said| {
            let parts = said.split_inclusive(['"', ' ']);
            parts
                .map(|part| format!("data:{}\r\n\r\n", json!({ "choices": [{ "delta": { "content": part } }] })))
                .collect()
        }),
        Box::new(move |said| {
            let chunk = |text: char| format!("data: {}\n\n", json!({ "choices": [{ "delta": { "content": text } }] }));
            format!(": wait\n\n{}data: [DONE]\n\n", said.chars().map(chunk).collect::<String>())
        }),
    ];
    for (number, wrapped) in wrapped.into_iter().enumerate() {
        let (server, settings) = Server::start(move |request| reply(200, wrapped(&good_answer(&request.body)))).await;
        assert_eq!(labelled(&settings).await.as_deref(), Ok("colors"), "{number}");
        assert_eq!(server.requests(), 4, "{number}");
    }
}
