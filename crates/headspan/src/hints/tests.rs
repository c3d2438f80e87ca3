use std::path::PathBuf;

use headspan_images::DatasetError;
use headspan_model::{ClipError, DeviceProblem};

use super::*;

fn told(error: impl Error + Send + Sync + 'static) -> String {
    hint(&anyhow::Error::from(error)).unwrap_or_default()
}

#[test]
fn hints_name_the_command_and_what_it_needs() {
    let run = PathBuf::from("runs/a/b");
    let input = PipelineError::InputMissing { stage: "label", input: "texts", run: run.clone() };
    assert_eq!(told(input), "run `headspan extract` first, or `headspan run-all`");
    let input = PipelineError::InputMissing { stage: "metrics", input: "label", run: run.clone() };
    assert!(told(input).contains("`headspan label`"));
    let missing = PipelineError::NotFetched { model: "ViT-B-32_openai".to_owned(), cache: run };
    assert!(told(missing).contains("headspan fetch ViT-B-32_openai"));
    let url = String::new();
    assert!(told(HubError::Forbidden { url: url.clone(), status: 403 }).contains("HF_TOKEN"));
    assert!(told(HubError::GaveUp { url, tries: 2, source: "reset".into() }).contains("--checkpoint"));
    let (key, limit, spent) = ("max_tokens", 500.0, 550.0);
    let ceiling = OpenAiError::Ceiling { what: "tokens", key, limit, spent, requests: 5 };
    assert!(told(ceiling).contains("`max_tokens`") && CONTINUE.contains("continue"));
    let variable = || NetError::Certificates {
        variable: "SSL_CERT_FILE",
        path: PathBuf::from("x"),
        what: "is not a file",
        source: None,
    };
    assert!(told(HubError::Net(variable())).contains("`SSL_CERT_FILE`"));
    assert!(told(OpenAiError::Net(variable())).contains("`SSL_CERT_FILE`"));
}

#[test]
fn a_misspelt_name_gets_what_was_meant() -> Result<(), std::io::Error> {
    let known = || vec!["colors".to_owned(), "counting".to_owned()];
    let property =
        |name: &str| ExploreError::NoProperty { property: name.to_owned(), run: "d/m".to_owned(), known: known() };
    assert_eq!(told(property("color")), "did you mean `colors`?");
    assert_eq!(told(property("L3H5")), "did you mean `L3.H5`?");
    let model = ModelError::Unknown { name: String::new(), known: String::new(), meant: Some("ViT-B-32".to_owned()) };
    assert_eq!(told(PipelineError::Registry(model)), "did you mean `ViT-B-32`?");
    let place = tempfile::tempdir()?;
    fs_err::create_dir(place.path().join("photos"))?;
    let path = |name: &str| PipelineError::NotThere { key: "data.path", path: place.path().join(name) };
    assert!(told(path("Photo")).ends_with("photos`?"));
    assert_eq!(told(path("nowhere")), "check the path");
    Ok(())
}

#[test]
fn hints_are_found_below_contexts_and_in_errors_that_stand_for_others() {
    let missing = || ExtractError::PartsMissing { missing: 1, total: 4 };
    let merge = "run the remaining shards, then `headspan extract --merge`";
    assert_eq!(told(PipelineError::Extract(missing())), merge);
    assert_eq!(told(PipelineError::OfModel { model: "m".to_owned(), source: Box::new(missing()) }), merge);
    let wanted = "cuda".to_owned();
    let device = ExtractError::from(ClipError::NoDevice { wanted, source: DeviceProblem::NotFound });
    let source = Box::new(PipelineError::from(device));
    let error = anyhow::Error::from(PipelineError::RunImage { image: "i".to_owned(), source }).context("asking");
    assert_eq!(hint(&error).as_deref(), Some("`headspan doctor` lists the devices; `--device cpu` works everywhere"));
}

#[test]
fn a_report_has_each_cause_once_and_the_hint_last() {
    let source = DatasetError::Duplicate { path: PathBuf::from("x"), id: "a".to_owned() };
    let error = anyhow::Error::from(PipelineError::RunImages { run: "d/m".to_owned(), source });
    let lines = [
        "the images of `d/m` cannot be listed",
        "  caused by: `x` lists `a` twice; ids must be unique",
        "  hint: if the images have moved, give --images PATH",
    ];
    assert_eq!(report(&error), lines.join("\n"));
    let error = anyhow::Error::from(std::io::Error::other("taken")).context(Hinted::new("cannot listen", "wait"));
    assert_eq!(report(&error), "cannot listen\n  caused by: taken\n  hint: wait");
    let without = anyhow::anyhow!("outer: inner");
    assert_eq!(report(&without), "outer: inner");
}
