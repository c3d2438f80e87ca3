use super::*;

fn source(groups: &str) -> Source {
    let head = "category = \"colors\"\nabout = \"x\"\nprompts = [\"a\", \"b\", \"c\"]\n";
    let mut source: Source = toml::from_str(&format!("{head}{groups}")).unwrap();
    source.file = "colors.toml".to_owned();
    source
}

fn texts(groups: &str) -> Vec<String> {
    expand(&[source(groups)]).unwrap().remove(0).texts
}

fn message(groups: &str) -> String {
    headspan_artifacts::with_causes(&expand(&[source(groups)]).unwrap_err())
}

#[test]
fn all_combinations_in_source_order() {
    let group = "[[group]]\ntemplates = [\"{a:color} {thing}\", \"A photo of {a:color} {thing}\"]\n\
        words = { color = [\"red\", \"orange\"], thing = [\"cup\", \"door\"] }";
    assert_eq!(
        texts(group),
        [
            "A red cup",
            "A red door",
            "An orange cup",
            "An orange door",
            "A photo of a red cup",
            "A photo of a red door",
            "A photo of an orange cup",
            "A photo of an orange door",
        ]
    );
}

#[test]
fn a_limit_takes_every_word_of_the_fastest_list_equally_often() {
    let things: Vec<String> = (0..7).map(|index| format!("thing{index}")).collect();
    let group = format!(
        "[[group]]\ntemplates = [\"{{a:thing}}\", \"One {{thing}}\", \"This {{thing}}\"]\nlimit = 14\nwords = {{ thing = {things:?} }}"
    );
    let texts = texts(&group);
    assert_eq!(texts.len(), 14);
    for thing in &things {
        assert_eq!(texts.iter().filter(|text| text.ends_with(thing.as_str())).count(), 2, "{thing}");
    }
}

#[test]
fn sampling_has_no_repetition_at_any_size() {
    for available in 1..60 {
        for limit in 1..=available {
            let all: Vec<String> = (0..available).map(|index| index.to_string()).collect();
            assert_eq!(sample(&all, &[], Some(limit)).unwrap().len(), limit, "{limit} of {available}");
        }
    }
}

#[test]
fn skipped_texts_are_replaced_by_others() {
    let all: Vec<String> = (0..9).map(|index| format!("text{index}")).collect();
    let skip = ["text3".to_owned(), "text5".to_owned()];
    for limit in 1..=7 {
        let taken = sample(&all, &skip, Some(limit)).unwrap();
        assert_eq!(taken.len(), limit);
        assert!(taken.is_sorted() && !taken.iter().any(|text| skip.contains(text)), "{taken:?}");
    }
    assert_eq!(sample(&all, &skip, Some(8)), Err(Fault::Limit { limit: 8, available: 7 }));
}

#[test]
fn skipped_texts_do_not_appear() {
    let group = "[[group]]\ntemplates = [\"A {color} {thing}\"]\nskip = [\"black snow\"]\n\
        words = { color = [\"black\", \"white\"], thing = [\"cup\", \"snowman\"] }";
    assert_eq!(texts(group), ["A black cup", "A white cup", "A white snowman"]);
}

#[test]
fn lists_of_the_file_are_shared_and_must_be_used() {
    let group = "words = { color = [\"red\"] }\n[[group]]\ntemplates = [\"A {color} cup\"]";
    assert_eq!(texts(group), ["A red cup"]);
    let unused = "words = { color = [\"red\"] }\n[[group]]\ntemplates = [\"A cup\"]";
    assert!(message(unused).contains("list `color` in the file's `words`"));
}

#[test]
fn faults_name_file_and_group() {
    let good = "[[group]]\ntemplates = [\"Good\"]\n";
    let long = "A ".repeat(13);
    for (group, part) in [
        ("templates = []".to_owned(), "no templates"),
        ("templates = [\"A {shade}\"]".to_owned(), "`{shade}`, for which there is no list"),
        ("templates = [\"A {x}\", \"B\"]\nwords = { x = [\"y\"] }".to_owned(), "`B` does not use the same lists"),
        ("templates = [\"A\"]\nwords = { x = [\"y\"] }".to_owned(), "list `x` is used by no template"),
        ("templates = [\"A {x}\"]\nwords = { x = [] }".to_owned(), "list `x` is empty"),
        ("templates = [\"A cup\"]\nskip = [\"door\"]".to_owned(), "`skip` entry `door`"),
        ("templates = [\"A cup\"]\nlimit = 2".to_owned(), "`limit` is 2, but the group has only 1"),
        ("templates = [\"A  cup\"]".to_owned(), "`A  cup` is empty, has doubled"),
        ("templates = [\"A cup.\"]".to_owned(), "full stop"),
        ("templates = [\"\"]".to_owned(), "is empty"),
        (format!("templates = [\"{}\"]", long.trim()), "has 13 words; the most is 12"),
    ] {
        let message = message(&format!("{good}[[group]]\n{group}"));
        assert!(message.starts_with("`colors.toml`, group 2: "), "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_text_in_two_categories_is_refused_whatever_its_case() {
    let first = source("[[group]]\ntemplates = [\"A red Door\"]");
    let mut second = source("[[group]]\ntemplates = [\"A red door\"]");
    second.category = "buildings".to_owned();
    let message = expand(&[first, second]).unwrap_err().to_string();
    assert_eq!(message, "`A red door` stands in `colors` and in `buildings`; keep one of them");
}

#[test]
fn a_category_needs_three_prompts() {
    let mut source = source("[[group]]\ntemplates = [\"A\"]");
    source.prompts.pop();
    assert!(matches!(expand(&[source]), Err(SourceError::PromptCount { found: 2, .. })));
}
