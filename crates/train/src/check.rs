//! Which recipes can be trained.

use std::fmt::Display;

use headspan_scenes::World;

use crate::{
    error::{Result, TrainError},
    recipe::Recipe,
};

impl Recipe {
    /// Checks that every value is one that can be trained with, and that they fit together.
    pub fn check(&self) -> Result<()> {
        self.check_steps()?;
        self.check_optimizer()?;
        self.check_world()?;
        self.check_geometry()?;
        self.check_fit()
    }

    fn check_steps(&self) -> Result<()> {
        demand(self.steps >= 1, "steps", self.steps, "expected 1 or more")?;
        demand(self.batch_size >= 2, "batch_size", self.batch_size, "a contrast needs at least 2")?;
        demand(self.checkpoint_steps >= 1, "checkpoint_steps", self.checkpoint_steps, "expected 1 or more")?;
        demand(self.vocabulary >= 300, "vocabulary", self.vocabulary, "expected 300 or more: the bytes alone take 256")
    }

    fn check_optimizer(&self) -> Result<()> {
        let positive = "expected a finite number above 0";
        let rate = self.learning_rate;
        demand(rate.is_finite() && rate > 0.0, "learning_rate", rate, positive)?;
        let clip = self.clip_norm;
        demand(clip.is_finite() && clip > 0.0, "clip_norm", clip, positive)?;
        let decay = self.weight_decay;
        demand(decay.is_finite() && decay >= 0.0, "weight_decay", decay, "expected a finite number, 0 or more")?;
        for (key, value) in [("beta_2", self.beta_2), ("patch_dropout", self.patch_dropout)] {
            demand((0.0..1.0).contains(&value), key, value, "expected 0 or more, below 1")?;
        }
        Ok(())
    }

    fn check_world(&self) -> Result<()> {
        let world = &self.world;
        demand(World::PIXELS.contains(&world.pixels), "world.pixels", world.pixels, "expected 32 to 512")?;
        for (key, share) in [
            ("world.correlation", world.correlation),
            ("world.ease", world.ease),
            ("world.bystanders", world.bystanders),
            ("world.photos", world.photos),
        ] {
            demand((0.0..=1.0).contains(&share), key, share, "expected a share from 0 to 1")?;
        }
        Ok(())
    }

    fn check_geometry(&self) -> Result<()> {
        let model = &self.model;
        for (key, value) in [
            ("model.embed_dim", model.embed_dim),
            ("model.patch_size", model.patch_size),
            ("model.layers", model.layers),
            ("model.width", model.width),
            ("model.head_width", model.head_width),
            ("model.text_layers", model.text_layers),
            ("model.text_width", model.text_width),
            ("model.text_heads", model.text_heads),
        ] {
            demand(value >= 1, key, value, "expected 1 or more")?;
        }
        let context = model.context_length;
        demand(context >= 2, "model.context_length", context, "expected 2 or more: a text has a start and an end")
    }

    /// What no single value can say.
    fn check_fit(&self) -> Result<()> {
        let wrong = |key: &'static str, what: String| Err(TrainError::Recipe { key, what });
        let model = &self.model;
        if self.parts == 0 || !self.batch_size.is_multiple_of(self.parts) {
            return wrong("parts", format!("{} does not divide batch_size {}", self.parts, self.batch_size));
        }
        if self.warmup_steps >= self.steps {
            return wrong("warmup_steps", format!("{} of {} steps", self.warmup_steps, self.steps));
        }
        if !(self.world.pixels as usize).is_multiple_of(model.patch_size) {
            let what = format!("{} does not divide {} pixels", model.patch_size, self.world.pixels);
            return wrong("model.patch_size", what);
        }
        if !model.width.is_multiple_of(model.head_width) {
            let what = format!("{} does not divide the width {}", model.head_width, model.width);
            return wrong("model.head_width", what);
        }
        if !model.text_width.is_multiple_of(model.text_heads) {
            return wrong("model.text_heads", format!("{} does not divide {}", model.text_heads, model.text_width));
        }
        Ok(())
    }
}

/// An error that names key, value and range unless the value is `fit`. A comparison with NaN is false, so NaN never is.
fn demand(fit: bool, key: &'static str, value: impl Display, range: &str) -> Result<()> {
    if fit {
        return Ok(());
    }
    Err(TrainError::Recipe { key, what: format!("{value}; {range}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut Recipe);

    /// What a recipe with a change is refused for; empty if it is not.
    fn refusal(change: impl FnOnce(&mut Recipe)) -> String {
        let mut recipe = Recipe::small();
        change(&mut recipe);
        recipe.check().err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_recipe_that_contradicts_itself_says_where() {
        assert_eq!(refusal(|_recipe| {}), "");
        assert_eq!(refusal(|recipe| recipe.parts = 3), "the recipe's parts: 3 does not divide batch_size 8");
        assert_eq!(refusal(|recipe| recipe.warmup_steps = 6), "the recipe's warmup_steps: 6 of 6 steps");
        assert!(refusal(|recipe| recipe.model.patch_size = 5).contains("5 does not divide 32 pixels"));
    }

    #[test]
    fn geometry_that_panicked_is_refused() {
        let changes: [(&str, Change); 8] = [
            ("embed_dim", |recipe| recipe.model.embed_dim = 0),
            ("patch_size", |recipe| recipe.model.patch_size = 0),
            ("layers", |recipe| recipe.model.layers = 0),
            ("width", |recipe| recipe.model.width = 0),
            ("head_width", |recipe| recipe.model.head_width = 0),
            ("text_layers", |recipe| recipe.model.text_layers = 0),
            ("text_width", |recipe| recipe.model.text_width = 0),
            ("text_heads", |recipe| recipe.model.text_heads = 0),
        ];
        for (key, change) in changes {
            assert_eq!(refusal(change), format!("the recipe's model.{key}: 0; expected 1 or more"));
        }
        assert!(refusal(|recipe| recipe.model.context_length = 1).contains("model.context_length: 1; expected 2"));
        for pixels in [0, 16, 528] {
            let said = refusal(|recipe| recipe.world.pixels = pixels);
            assert_eq!(said, format!("the recipe's world.pixels: {pixels}; expected 32 to 512"));
        }
        assert_eq!(refusal(|recipe| recipe.world.pixels = 512), "");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        assert_eq!(refusal(|recipe| recipe.steps = 0), "the recipe's steps: 0; expected 1 or more");
        assert!(refusal(|recipe| recipe.batch_size = 1).contains("batch_size: 1;"));
        assert!(refusal(|recipe| recipe.checkpoint_steps = 0).contains("checkpoint_steps: 0;"));
        for value in [f32::NAN, f32::INFINITY, -1.0] {
            for (key, said) in [
                ("learning_rate", refusal(|recipe| recipe.learning_rate = f64::from(value))),
                ("clip_norm", refusal(|recipe| recipe.clip_norm = value)),
                ("weight_decay", refusal(|recipe| recipe.weight_decay = value)),
                ("beta_2", refusal(|recipe| recipe.beta_2 = value)),
                ("patch_dropout", refusal(|recipe| recipe.patch_dropout = value)),
                ("world.correlation", refusal(|recipe| recipe.world.correlation = value)),
                ("world.ease", refusal(|recipe| recipe.world.ease = value)),
                ("world.bystanders", refusal(|recipe| recipe.world.bystanders = value)),
                ("world.photos", refusal(|recipe| recipe.world.photos = value)),
            ] {
                assert!(said.contains(&format!("{key}: {value}; expected")), "{key} {value}: {said}");
            }
        }
    }

    #[test]
    fn the_ends_of_ranges_belong_to_them_or_not() {
        for share in [0.0, 1.0] {
            assert_eq!(refusal(|recipe| recipe.world.photos = share), "");
        }
        assert_eq!(refusal(|recipe| recipe.weight_decay = 0.0), "");
        assert_eq!(refusal(|recipe| recipe.beta_2 = 0.0), "");
        assert!(refusal(|recipe| recipe.beta_2 = 1.0).contains("beta_2: 1;"));
        assert!(refusal(|recipe| recipe.learning_rate = 0.0).contains("learning_rate: 0;"));
        assert!(refusal(|recipe| recipe.clip_norm = 0.0).contains("clip_norm: 0;"));
    }
}
