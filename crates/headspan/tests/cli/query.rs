//! Questions about a finished run, asked from the shell.

use std::process::Command;

use fs_err as fs;
use headspan_artifacts::{TextspanRow, read_rows};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use crate::support::{Outcome, World, stderr_of};

/// A world whose run is done.
fn asked() -> Result<World, Box<dyn std::error::Error>> {
    let world = World::new(12)?;
    stderr_of(&world.run_all("runs").output()?, 0);
    Ok(world)
}

fn query(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.bare();
    command.args(["query", arguments[0], "tiny", "--dataset", "toy", "--device", "cpu"]).args(&arguments[1..]);
    command
}

fn answer(world: &World, arguments: &[&str]) -> Result<Value, Box<dyn std::error::Error>> {
    let output = query(world, arguments).arg("--json").output()?;
    stderr_of(&output, 0);
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[test]
fn neighbours_are_found_and_drawn() -> Outcome {
    let world = asked()?;
    let id = "even/00004.png";
    let found = answer(&world, &["neighbours", "--heads", "L2.H1", "--image", id, "--count", "5", "--cosine"])?;
    let images = found["found"]["images"].as_array().ok_or("no images")?;
    assert_eq!((images.len(), found["found"]["compared"].as_u64()), (5, Some(11)));
    assert!(images.iter().all(|image| image["image_id"] != id), "the query is its own neighbour");
    let scores: Vec<f64> = images.iter().filter_map(|image| image["score"].as_f64()).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]) && scores[0] <= 1.0 + 1e-6, "{scores:?}");

    // The same image from its file is nearest to itself, by cosine with score 1.
    let file = world.path("images").join(id).display().to_string();
    let found = answer(&world, &["neighbours", "--heads", "L2.H1", "--file", &file, "--cosine", "--count", "1"])?;
    let first = &found["found"]["images"][0];
    assert_eq!(first["image_id"], id);
    assert!((first["score"].as_f64().unwrap_or_default() - 1.0).abs() < 1e-5, "{first}");

    let sheet = world.path("sheet.png").display().to_string();
    let table = world.path("near.parquet").display().to_string();
    let text = [
        "neighbours",
        "--heads",
        "all",
        "--text",
        "a red cat",
        "--class",
        "odd",
        "--picture",
        &sheet,
        "--parquet",
        &table,
    ];
    let found = answer(&world, &text)?;
    assert_eq!(found["found"]["compared"], 6);
    assert!(found["carried"]["times"].as_f64().is_some_and(|times| times >= 0.0), "{found}");
    let picture = image::open(&sheet)?;
    assert!(picture.width() > 700 && picture.height() > 300, "two rows of four images");
    let reader = SerializedFileReader::new(fs::File::open(&table)?.into_parts().0)?;
    let names: Vec<String> =
        reader.metadata().file_metadata().schema_descr().columns().iter().map(|c| c.name().to_owned()).collect();
    assert_eq!(
        (names.join(" ").as_str(), reader.metadata().file_metadata().num_rows()),
        ("image_index image_id class_id score", 6)
    );
    Ok(())
}

#[test]
fn heads_are_found_by_texts_images_and_names() -> Outcome {
    let world = asked()?;
    let search = |arguments: &[&str]| -> Result<Value, Box<dyn std::error::Error>> {
        let mut command = world.bare();
        command.args(["query", "search", "--dataset", "toy", "--device", "cpu", "--json"]).args(arguments);
        let output = command.output()?;
        stderr_of(&output, 0);
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let found = search(&["a red cat", "--count", "3"])?;
    let heads = found["heads"].as_array().ok_or("no heads")?;
    let times: Vec<f64> = heads.iter().filter_map(|head| head["carried"]["times"].as_f64()).collect();
    assert!(times.len() == 3 && times.windows(2).all(|pair| pair[0] >= pair[1]), "{found}");
    let named = search(&["even"])?;
    assert_eq!(named["named"][0]["found"]["classes"][0]["class"], "even", "{named}");
    let file = world.path("images").join("even/00004.png").display().to_string();
    let excited = search(&["--file", &file])?;
    assert!(excited["heads"][0]["excited"].as_f64().is_some_and(|times| times > 0.0), "{excited}");
    let mut both = world.bare();
    both.args(["query", "search", "a cat", "--file", &file, "--dataset", "toy"]);
    stderr_of(&both.output()?, 2);
    Ok(())
}

#[test]
fn texts_are_found_in_images() -> Outcome {
    let world = asked()?;
    let one = answer(&world, &["segment", "--image", "#3", "--text", "a red cat"])?;
    let grid = one["grid"].as_u64().unwrap_or_default() as usize;
    assert_eq!(one["maps"][0]["scores"].as_array().map(Vec::len), Some(grid * grid));
    // The toy's classes have names, which are subtracted unless something else is asked for.
    assert_eq!(one["subtracted"], serde_json::json!({ "baseline": "classes", "texts": 2 }), "{one}");
    assert!(one["maps"][0]["margin"].as_f64().is_some_and(|margin| margin > 0.0), "{one}");
    let published = answer(&world, &["segment", "--image", "#3", "--text", "a red cat", "--baseline", "none"])?;
    assert_eq!(published["subtracted"]["baseline"], "none");
    assert_ne!(published["maps"][0]["scores"], one["maps"][0]["scores"]);
    let own = answer(&world, &["segment", "--image", "#3", "--text", "a red cat", "--baseline-text", "a red cat"])?;
    let left = own["maps"][0]["scores"].as_array().ok_or("no map")?;
    assert!(
        left.iter().filter_map(Value::as_f64).all(|score| score.abs() < 1e-6),
        "a text less itself is nothing: {own}"
    );
    let (map, first) = (world.path("map.png").display().to_string(), world.path("map-1.png"));
    let two = ["segment", "--image", "#3", "--text", "a red cat", "--text", "two dog", "--picture", &map, "--patches"];
    let found = answer(&world, &two)?;
    let scores = |map: usize| -> Vec<f64> {
        let scores = found["maps"][map]["scores"].as_array();
        scores.map(|scores| scores.iter().filter_map(Value::as_f64).collect()).unwrap_or_default()
    };
    assert!(
        scores(0).iter().zip(scores(1)).all(|(one, other)| (one + other).abs() < 1e-9),
        "not each other's negative"
    );
    assert!(image::open(first)?.width() > 448 && world.path("map-2.png").is_file());

    let near = answer(&world, &["neighbours", "--heads", "L1", "--image", "#3", "--count", "1", "--dot"])?;
    let id = near["found"]["images"][0]["image_id"].as_str().unwrap_or_default().to_owned();
    let output = query(&world, &["why", "--image", "#3", "--neighbour", &id, "--heads", "L1"]).output()?;
    stderr_of(&output, 0);
    let printed = String::from_utf8(output.stdout)?;
    let score = near["found"]["images"][0]["score"].as_f64().unwrap_or_default();
    assert!(printed.contains(&format!("score {score:.4}")), "{score} is not in:\n{printed}");

    let table = world.path("ends.parquet").display().to_string();
    let along = answer(&world, &["extremes", "--head", "L2.H0", "--count", "2", "--pick", "0", "--parquet", &table])?;
    let picks: Vec<TextspanRow> = read_rows(&world.run_folder("runs").join("textspan.parquet"))?;
    // Along a pick's direction is as much variance as the pick's share says; two of them tell it without the whole.
    let share = |place: u32| {
        picks.iter().find(|pick| (pick.layer, pick.head, pick.pick) == (2, 0, place)).map(|pick| pick.variance_share)
    };
    let second = answer(&world, &["extremes", "--head", "L2.H0", "--count", "2", "--pick", "1"])?;
    let variance = |answer: &Value| answer["found"]["std"].as_f64().map(|std| std * std);
    let (found, expected) = (
        variance(&along).zip(variance(&second)).ok_or("no spread")?,
        share(0).zip(share(1)).ok_or("fewer than two picks")?,
    );
    assert!((found.0 / found.1 / (expected.0 / expected.1) - 1.0).abs() < 1e-4, "{found:?} {expected:?}");
    let scores: Vec<f64> = ["largest", "between", "smallest"]
        .iter()
        .flat_map(|end| along["found"][end].as_array().cloned().unwrap_or_default())
        .filter_map(|image| image["score"].as_f64())
        .collect();
    assert!(scores.len() == 6 && scores[0] >= scores[2] && scores[3] >= scores[5], "{along}");
    assert_eq!(
        SerializedFileReader::new(fs::File::open(&table)?.into_parts().0)?.metadata().file_metadata().num_rows(),
        6
    );
    let ends = answer(&world, &["extremes", "--head", "L2.H0", "--count", "3"])?;
    let score = |end: &str| ends["found"][end][0]["score"].as_f64().unwrap_or_default();
    assert!(score("largest") > score("between") && score("between") > score("smallest"), "{ends}");
    Ok(())
}

#[test]
fn questions_that_have_no_answer_say_so() -> Outcome {
    let world = asked()?;
    for (arguments, code, says) in [
        (&["neighbours", "--heads", "L9.H0", "--image", "#0"][..], 1, "head L9.H0 was not extracted"),
        (
            &["neighbours", "--heads", "tastes", "--image", "#0"],
            1,
            "no head of the run `toy/tiny` is labelled `tastes`",
        ),
        (&["neighbours", "--heads", "all", "--image", "none.png"], 1, "no extracted image `none.png`"),
        (&["neighbours", "--heads", "all", "--image", "#99"], 1, "no extracted image `#99`"),
        (&["neighbours", "--heads", "all"], 2, "ask with one of --image ID"),
        (&["neighbours", "--heads", "", "--image", "#0"], 2, "selects no heads"),
        (&["neighbours", "--heads", "all", "--text", " "], 2, "an empty text"),
        (&["neighbours", "--heads", "all", "--image", "#0", "--class", "zebra"], 1, "has the class `zebra`"),
        (&["segment", "--image", "#0", "--text", "a cat", "--opacity", "7"], 2, "expected 0 to 1"),
        (&["segment", "--file", "pool.csv", "--text", "a cat"], 1, "pool.csv"),
        (&["extremes", "--head", "L2"], 2, "`L2` is not one head"),
        (&["extremes", "--head", "L2H1"], 2, "did you mean `L2.H1`?"),
        (&["extremes", "--head", "L2.H1", "--rank", "1"], 2, "is --pick"),
        (&["neighbours", "--heads", "L2H1", "--image", "0"], 1, "did you mean `L2.H1`?"),
        (&["neighbours", "--heads", "L2.H0,L2-H1", "--image", "0"], 1, "did you mean `L2.H1`?"),
        (&["neighbours", "--heads", "all", "--image", "00004.png"], 1, "did you mean `even/00004.png`?"),
        (&["neighbours", "--heads", "all", "--image", "12"], 1, "no extracted image `#12`"),
        (&["neighbours", "--heads", "all", "--image", "-1"], 2, "-1"),
        (&["neighbours", "--heads", "all", "--image", "0", "--class", "evn"], 1, "did you mean `even`?"),
        (&["neighbours", "--heads", "all", "--image", "0", "--k", "4"], 2, "--k"),
    ] {
        let message = stderr_of(&query(&world, arguments).output()?, code);
        assert!(message.contains(says), "{says:?} is not in:\n{message}");
    }
    let mut other = world.bare();
    other.args(["query", "segment", "nobody", "--dataset", "toy", "--image", "#0", "--text", "a"]);
    assert!(stderr_of(&other.output()?, 1).contains("no run of `nobody` over `toy`"));

    // Images that moved are asked for, and images that are others are refused.
    fs::rename(world.path("images"), world.path("moved"))?;
    let segment = ["segment", "--image", "#0", "--text", "a cat"];
    assert!(
        stderr_of(&query(&world, &segment).output()?, 1).contains("hint: if the images have moved, give --images PATH")
    );
    let moved = world.path("moved").display().to_string();
    stderr_of(&query(&world, &[&segment[..], &["--images", &moved]].concat()).output()?, 0);
    fs::remove_file(world.path("moved/odd/00001.png"))?;
    let message = stderr_of(&query(&world, &[&segment[..], &["--images", &moved]].concat()).output()?, 1);
    assert!(message.contains("no longer holds the images"), "{message}");
    Ok(())
}
