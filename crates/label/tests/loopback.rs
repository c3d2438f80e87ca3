//! The labeller against a server on loopback that speaks the chat completions protocol, well and badly.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use futures::StreamExt;
use headspan_artifacts::with_causes;
use headspan_label::{
    HeadTexts, OpenAiSettings,
    openai::{self, OpenAiError, Prompts},
};
use serde_json::{Value, json};

mod support;

use support::{completion, good_answer, heads, label, settings};

/// What the server does with the next request; when the list is empty it answers well.
#[derive(Debug, Clone)]
enum Act {
    Status(u16, Option<&'static str>),
    Content(&'static str),
    /// A success with this body.
    Body(Value),
    NotJson,
    Slow(Duration),
    Cut,
    RefuseSchema(u16),
    /// Refused where nobody asked for a schema.
    Unprocessable,
}

#[derive(Default)]
struct Server {
    acts: Mutex<VecDeque<Act>>,
    requests: Mutex<Vec<Value>>,
}

impl Server {
    async fn start(acts: &[Act]) -> (Arc<Self>, OpenAiSettings) {
        let server = Arc::new(Self { acts: Mutex::new(acts.iter().cloned().collect()), ..Self::default() });
        let app = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(&server));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, app).await });
        let settings = settings(format!("http://{address}/v1"));
        (server, settings)
    }

    fn requests(&self) -> usize {
        self.requests.lock().expect("no panic before").len()
    }
}

/// The head of a response is sent only once the body makes the server wait.
async fn pausing<T>(part: std::io::Result<T>) -> std::io::Result<T> {
    if part.is_err() {
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    part
}

async fn answer(State(server): State<Arc<Server>>, Json(request): Json<Value>) -> Response {
    let (schema, content) = (request.get("response_format").is_some(), good_answer(&request));
    server.requests.lock().expect("no panic before").push(request);
    let act = server.acts.lock().expect("no panic before").pop_front();
    match act {
        Some(Act::Status(status, retry_after)) => {
            let mut response = (StatusCode::from_u16(status).expect("a status"), "no").into_response();
            if let Some(seconds) = retry_after {
                response.headers_mut().insert("retry-after", seconds.parse().expect("a header"));
            }
            return response;
        }
        Some(Act::Content(content)) => return Json(completion(content)).into_response(),
        Some(Act::Body(body)) => return Json(body).into_response(),
        Some(Act::Unprocessable) => {
            let error = json!({ "detail": [{ "loc": ["body", "model"], "msg": "no such model" }] });
            return (StatusCode::UNPROCESSABLE_ENTITY, Json(error)).into_response();
        }
        Some(Act::NotJson) => return "<html>".into_response(),
        Some(Act::Slow(time)) => tokio::time::sleep(time).await,
        Some(Act::Cut) => {
            let broken = futures::stream::iter([Ok("{\"id\""), Err(std::io::Error::other("cut"))]).then(pausing);
            return Body::from_stream(broken).into_response();
        }
        Some(Act::RefuseSchema(status)) if schema => {
            let error = json!({ "error": { "message": "response_format is not supported" } });
            return (StatusCode::from_u16(status).expect("a status"), Json(error)).into_response();
        }
        Some(Act::RefuseSchema(_)) | None => {}
    }
    Json(completion(&content)).into_response()
}

#[tokio::test]
async fn a_head_is_labelled_and_judged_and_a_rerun_asks_nobody() {
    let (server, settings) = Server::start(&[]).await;
    let cache = tempfile::tempdir().expect("a folder");
    let rows = label(&settings, &heads(2), cache.path()).await.expect("labels");
    assert_eq!(rows[0].property.as_deref(), Some("colors"));
    assert_eq!(rows[0].consistent, [Some(true), Some(true), Some(false)]);
    assert_eq!((rows[0].tokens_in, rows[0].tokens_out), (400, 40));
    assert_eq!(server.requests(), 2 * (1 + 3));
    let again = label(&settings, &heads(2), cache.path()).await.expect("labels");
    assert_eq!(again, rows);
    assert_eq!(server.requests(), 8, "every answer was kept");
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    for act in [
        Act::Status(429, Some("0.05")),
        // Longer than any time there is.
        Act::Status(429, Some("1e20")),
        Act::Status(500, None),
        Act::Slow(Duration::from_millis(900)),
        Act::Cut,
        Act::NotJson,
    ] {
        let (server, settings) = Server::start(std::slice::from_ref(&act)).await;
        let cache = tempfile::tempdir().expect("a folder");
        let started = Instant::now();
        let rows = label(&settings, &heads(1), cache.path()).await.unwrap_or_else(|error| panic!("{act:?}: {error}"));
        assert_eq!(rows[0].property.as_deref(), Some("colors"), "{act:?}");
        assert_eq!(server.requests(), 5, "one more than needed after {act:?}");
        if matches!(act, Act::Status(429, Some("0.05"))) {
            assert!(started.elapsed() >= Duration::from_millis(50), "Retry-After is waited for");
        }
    }
}

#[tokio::test]
async fn tries_are_bounded_and_a_refusal_is_final() {
    let (server, settings) = Server::start(&vec![Act::Status(503, None); 20]).await;
    let cache = tempfile::tempdir().expect("a folder");
    let message = with_causes(&label(&settings, &heads(1), cache.path()).await.expect_err("gave up"));
    assert!(message.contains("3 tries") && message.contains("503"), "{message}");
    assert_eq!(server.requests(), 3);
    let (server, settings) = Server::start(&[Act::Status(401, None)]).await;
    let message = label(&settings, &heads(1), cache.path()).await.expect_err("refused").to_string();
    assert!(message.contains("401"), "{message}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn malformed_answers_are_asked_again_then_recorded() {
    let cache = tempfile::tempdir().expect("a folder");
    let (server, settings) = Server::start(&[Act::Content("I think it is about colors.")]).await;
    let rows = label(&settings, &heads(1), cache.path()).await.expect("labels");
    assert_eq!(rows[0].property.as_deref(), Some("colors"));
    assert_eq!(server.requests(), 5);
    let other = tempfile::tempdir().expect("a folder");
    let bad = [Act::Content("{\"name\": \"colors\"}"), Act::Content("colors")];
    let (server, settings) = Server::start(&bad).await;
    let rows = label(&settings, &heads(2), other.path()).await.expect("a row without a label");
    assert_eq!((rows[0].property.as_deref(), rows[1].property.as_deref()), (None, Some("colors")));
    assert!(rows[0].description.as_ref().is_some_and(|text| text.contains("malformed") && text.contains("colors")));
    assert_eq!(server.requests(), 2 + 4, "no judge is asked about a head without a label");
}

#[tokio::test]
async fn a_later_run_asks_again_where_answers_were_malformed() {
    let cache = tempfile::tempdir().expect("a folder");
    let prose = Act::Content("I think it is about colors.");
    // The first head gets no label, and the second its label at the second try.
    let (server, settings) = Server::start(&[prose.clone(), prose.clone(), prose]).await;
    let rows = label(&settings, &heads(2), cache.path()).await.expect("labels");
    assert_eq!((rows[0].property.as_deref(), rows[1].property.as_deref()), (None, Some("colors")));
    assert_eq!(server.requests(), 2 + 5);
    let again = label(&settings, &heads(2), cache.path()).await.expect("labels");
    assert_eq!(again[0].property.as_deref(), Some("colors"), "the endpoint answers well by now");
    assert_eq!(again[1], rows[1]);
    assert_eq!(server.requests(), 7 + 4, "only the first head is asked about again");
    assert_eq!(label(&settings, &heads(2), cache.path()).await.expect("labels"), again);
    assert_eq!(server.requests(), 11, "its answers are kept by now");
}

#[tokio::test]
async fn malformed_judgements_are_asked_for_again_too() {
    let cache = tempfile::tempdir().expect("a folder");
    let (yes, maybe) = (Act::Content("{\"property\": \"colors\"}"), Act::Content("maybe"));
    let (server, settings) = Server::start(&[yes, maybe.clone(), maybe]).await;
    let rows = label(&settings, &heads(1), cache.path()).await.expect("labels");
    assert_eq!(rows[0].consistent, [None, Some(true), Some(false)]);
    let rows = label(&settings, &heads(1), cache.path()).await.expect("labels");
    assert_eq!(rows[0].consistent, [Some(true), Some(true), Some(false)]);
    assert_eq!(server.requests(), 5 + 1);
}

#[tokio::test]
async fn malformed_answers_alone_are_an_error_and_asked_for_again() {
    let cache = tempfile::tempdir().expect("a folder");
    let (server, mut settings) = Server::start(&vec![Act::Content("As an assistant, I see doors."); 4]).await;
    let error = label(&settings, &heads(2), cache.path()).await.expect_err("no label at all");
    assert!(matches!(error, OpenAiError::NoLabels { heads: 2, .. }), "{error}");
    let message = error.to_string();
    for part in ["`labeller`", settings.base_url.as_str(), "As an assistant, I see doors."] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(server.requests(), 4, "two tries for each head");
    settings.max_reasks = 0;
    let rows = label(&settings, &heads(2), cache.path()).await.expect("the endpoint was mended");
    assert!(rows.iter().all(|row| row.property.as_deref() == Some("colors")));
}

#[tokio::test]
async fn heads_of_the_same_texts_share_even_malformed_answers() {
    let cache = tempfile::tempdir().expect("a folder");
    let (server, settings) = Server::start(&vec![Act::Content("no"); 9]).await;
    let mut same = heads(2);
    same[1].texts = same[0].texts.clone();
    label(&settings, &same, cache.path()).await.expect_err("no label at all");
    assert_eq!(server.requests(), 2, "tries of one question are bounded within a run");
}

#[tokio::test]
async fn heads_without_texts_alone_are_no_error() {
    let (server, settings) = Server::start(&[]).await;
    let cache = tempfile::tempdir().expect("a folder");
    let silent = [HeadTexts { texts: Vec::new(), ..heads(1).remove(0) }];
    assert_eq!(label(&settings, &silent, cache.path()).await.expect("a row")[0].property, None);
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn compatible_endpoints_need_not_be_openais_twin() {
    let content = "{\"property\": \"hues\"}";
    let message = json!({ "content": content });
    let choice = json!({ "index": 0, "finish_reason": "eos_token", "message": message });
    let parts = json!([{ "type": "text", "text": "{\"property\":" }, { "type": "text", "text": " \"hues\"}" }]);
    for body in [
        json!({ "choices": [{ "message": message }] }),
        json!({ "choices": [choice], "usage": { "prompt_tokens": 100 } }),
        json!({ "choices": [choice], "created": 0.5, "service_tier": "on_demand", "usage": null }),
        json!({ "choices": [{ "message": { "role": "assistant", "content": parts } }] }),
        completion(&format!("<think>{{colors}} or {{\"property\": \"doors\"}}?</think>\n{content}")),
        completion(&format!("The texts {{all of them}} name hues: {content}.")),
    ] {
        let (server, settings) = Server::start(&[Act::Body(body.clone())]).await;
        let cache = tempfile::tempdir().expect("a folder");
        let rows = label(&settings, &heads(1), cache.path()).await.unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(rows[0].property.as_deref(), Some("hues"), "{body}");
        assert_eq!(server.requests(), 4, "nothing is asked twice after {body}");
        assert!(rows[0].tokens_in >= 400 && rows[0].tokens_out > 30, "what is not counted is estimated");
    }
}

#[tokio::test]
async fn an_endpoint_without_schemas_is_asked_without() {
    for status in [400, 422] {
        let (server, settings) = Server::start(&[Act::RefuseSchema(status)]).await;
        let cache = tempfile::tempdir().expect("a folder");
        let rows = label(&settings, &heads(1), cache.path()).await.expect("labels");
        assert_eq!(rows[0].property.as_deref(), Some("colors"));
        let requests = server.requests.lock().expect("no panic before");
        let with_schema = requests.iter().filter(|request| request["response_format"]["type"] == "json_schema").count();
        assert_eq!((requests.len(), with_schema), (5, 1), "{status}");
    }
    let (server, settings) = Server::start(&[Act::Unprocessable]).await;
    let cache = tempfile::tempdir().expect("a folder");
    let message = label(&settings, &heads(1), cache.path()).await.expect_err("refused").to_string();
    assert!(message.contains("422") && message.contains("no such model"), "{message}");
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn judges_vote_and_their_disagreement_is_kept() {
    let (_server, mut settings) = Server::start(&[]).await;
    settings.judges = vec!["labeller".to_owned(), "strict".to_owned()];
    let cache = tempfile::tempdir().expect("a folder");
    let rows = label(&settings, &heads(1), cache.path()).await.expect("labels");
    assert_eq!(rows[0].consistent, [None, None, Some(false)], "a tie decides nothing");
    assert!(rows[0].description.as_ref().is_some_and(|text| text.contains("1 yes, 1 no")));
    settings.judges.push("third".to_owned());
    let rows = label(&settings, &heads(1), cache.path()).await.expect("labels");
    assert_eq!(rows[0].consistent, [Some(true), Some(true), Some(false)]);
}

#[tokio::test]
async fn a_ceiling_stops_and_a_rerun_continues() {
    let (server, mut settings) = Server::start(&[]).await;
    settings.max_tokens = 500;
    let cache = tempfile::tempdir().expect("a folder");
    let error = label(&settings, &heads(3), cache.path()).await.expect_err("too dear");
    assert!(matches!(error, OpenAiError::Ceiling { key: "max_tokens", .. }), "{error}");
    assert!(error.to_string().contains("all answers so far are kept"), "{error}");
    let spent = server.requests();
    assert_eq!(spent, 5, "110 tokens each, checked before every request");
    settings.max_tokens = 0;
    assert_eq!(label(&settings, &heads(3), cache.path()).await.expect("labels").len(), 3);
    assert_eq!(server.requests(), 12, "answers before the ceiling are not asked for again");
}

#[tokio::test]
async fn answers_of_no_use_count_toward_the_ceiling() {
    let mut billed = completion("");
    billed["choices"] = json!([]);
    // 110 tokens each as the endpoint counts; of the others the prompt alone is over 125 by estimate.
    for (act, expected) in [(Act::Body(billed), 5..=5), (Act::NotJson, 1..=4), (Act::Cut, 1..=4)] {
        let (server, mut settings) = Server::start(&vec![act.clone(); 20]).await;
        (settings.max_tokens, settings.max_retries) = (500, 8);
        let cache = tempfile::tempdir().expect("a folder");
        let error = label(&settings, &heads(1), cache.path()).await.expect_err("too dear");
        assert!(matches!(error, OpenAiError::Ceiling { .. }), "{act:?}: {error}");
        assert!(expected.contains(&server.requests()), "{act:?}: {} requests", server.requests());
    }
}

#[tokio::test]
async fn openai_itself_needs_a_key() {
    let settings =
        OpenAiSettings { api_key_env: "HEADSPAN_TEST_KEY_THAT_IS_NOT_SET".to_owned(), ..OpenAiSettings::default() };
    let cache = tempfile::tempdir().expect("a folder");
    let message = label(&settings, &heads(1), cache.path()).await.expect_err("no key").to_string();
    assert!(message.contains("HEADSPAN_TEST_KEY_THAT_IS_NOT_SET"), "{message}");
}

#[test]
fn a_dry_run_shows_the_prompts_and_counts() {
    let settings = OpenAiSettings::default();
    let prompts = Prompts::load(&settings).expect("the built-in prompts");
    let dry = openai::dry_run(&heads(2), &settings, &prompts);
    assert_eq!(dry.requests(), 8);
    let text = dry.to_string();
    assert!(text.contains("a red door 0") && text.contains("counting") && text.contains("8 requests"), "{text}");
    assert!(dry.tokens() > 500);
}
