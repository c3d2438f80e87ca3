use std::sync::Mutex;

use crate::openai::{error::OpenAiError, reply::Usage, settings::OpenAiSettings};

/// Tokens and money of this run. Cached answers cost nothing.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    spent: Mutex<Spent>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Spent {
    requests: u64,
    tokens_in: u64,
    tokens_out: u64,
}

impl Budget {
    /// An error once a ceiling is reached; to be asked before every request.
    pub(crate) fn check(&self, settings: &OpenAiSettings) -> Result<(), OpenAiError> {
        let spent = self.read();
        let tokens = spent.tokens_in.saturating_add(spent.tokens_out);
        let cost = (spent.tokens_in as f64 * settings.price_in + spent.tokens_out as f64 * settings.price_out) / 1e6;
        let ceiling = |what, key, limit, amount| OpenAiError::Ceiling {
            what,
            key,
            limit,
            spent: amount,
            requests: spent.requests,
        };
        if settings.max_tokens > 0 && tokens >= settings.max_tokens {
            return Err(ceiling("tokens", "max_tokens", settings.max_tokens as f64, tokens as f64));
        }
        if settings.max_cost > 0.0 && cost >= settings.max_cost {
            return Err(ceiling("USD", "max_cost", settings.max_cost, cost));
        }
        Ok(())
    }

    /// Counts a request that was answered, whether or not the answer is of use: it was paid for.
    pub(crate) fn add(&self, usage: Usage) {
        // A poisoned lock still holds the sums; losing them would lift the ceiling.
        let mut spent = self.spent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        spent.requests += 1;
        spent.tokens_in = spent.tokens_in.saturating_add(usage.tokens_in);
        spent.tokens_out = spent.tokens_out.saturating_add(usage.tokens_out);
    }

    fn read(&self) -> Spent {
        *self.spent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
