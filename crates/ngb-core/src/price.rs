//! What tokens cost: a table that the operator keeps. What is not in it has no price, which is not the same as none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Tokens of one request, told apart as providers charge for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Without what was read from, or written to, the provider's cache.
    pub input: u64,
    pub output: u64,
    pub cache_read: u64,
    pub cache_write: u64,
}

/// What a model costs, in units of the currency per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    pub input: f64,
    pub output: f64,
    /// None is as any other input.
    #[serde(default)]
    pub cache_read: Option<f64>,
    /// None is as any other input.
    #[serde(default)]
    pub cache_write: Option<f64>,
}

/// The table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prices {
    /// `USD`, `CNY`, …; only shown.
    pub currency: String,
    /// By `<provider>/<model>`; one that ends with `*` is for all that begin so.
    pub models: BTreeMap<String, Price>,
}

impl Prices {
    /// What `tokens` of a model cost, in millionths of the currency's unit; none where the table doesn't say.
    pub fn cost_micros(&self, provider: &str, model: &str, tokens: TokenCounts) -> Option<u64> {
        let Price { input, output, cache_read, cache_write } = *self.of(provider, model)?;
        let parts = [
            (tokens.input, input),
            (tokens.output, output),
            (tokens.cache_read, cache_read.unwrap_or(input)),
            (tokens.cache_write, cache_write.unwrap_or(input)),
        ];
        #[expect(
            clippy::cast_precision_loss,
            reason = "2^53 tokens are more than anybody buys at a time"
        )]
        let cost: f64 = parts.iter().map(|(tokens, price)| *tokens as f64 * price).sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "prices are checked not to be negative, and a cast stops at the largest number"
        )]
        Some(cost.round() as u64)
    }

    /// The price of a model: by its whole name, else by the longest beginning.
    fn of(&self, provider: &str, model: &str) -> Option<&Price> {
        let name = format!("{provider}/{model}");
        self.models.get(&name).or_else(|| {
            let beginning =
                |it: &&String| it.strip_suffix('*').is_some_and(|it| name.starts_with(it));
            let longest = self.models.keys().filter(beginning).max_by_key(|it| it.len())?;
            self.models.get(longest)
        })
    }

    /// What of the table can't be.
    ///
    /// # Errors
    ///
    /// The first price that is negative or no number.
    pub fn check(&self) -> Result<(), String> {
        for (name, price) in &self.models {
            let Price { input, output, cache_read, cache_write } = *price;
            let all = [Some(input), Some(output), cache_read, cache_write];
            if let Some(bad) = all.into_iter().flatten().find(|it| !it.is_finite() || *it < 0.0) {
                return Err(format!("the price {bad} of `{name}` is none"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(input: f64, output: f64) -> Price {
        Price { input, output, cache_read: None, cache_write: None }
    }

    #[test]
    fn costs() {
        let cached = Price { cache_read: Some(0.3), cache_write: Some(3.75), ..price(3.0, 15.0) };
        let models = BTreeMap::from([
            ("a/big".to_owned(), cached),
            ("a/*".to_owned(), price(1.0, 2.0)),
            ("a/bigger*".to_owned(), price(10.0, 20.0)),
            ("own/free".to_owned(), price(0.0, 0.0)),
        ]);
        let prices = Prices { currency: "USD".into(), models };
        let tokens = |input, output, cache_read, cache_write| TokenCounts {
            input,
            output,
            cache_read,
            cache_write,
        };
        #[rustfmt::skip]
        let table = [
            ("a",   "big",       tokens(1_000, 100, 0, 0),              Some(4_500)),
            ("a",   "big",       tokens(1_000, 100, 10_000, 1_000),     Some(11_250)),
            ("a",   "small",     tokens(1_000, 100, 10, 10),            Some(1_220)),
            ("a",   "bigger-2",  tokens(1, 1, 0, 0),                    Some(30)),
            ("own", "free",      tokens(1_000, 100, 0, 0),              Some(0)),
            ("b",   "big",       tokens(1_000, 100, 0, 0),              None),
        ];
        for (provider, model, tokens, want) in table {
            assert_eq!(prices.cost_micros(provider, model, tokens), want, "{provider}/{model}");
        }
        assert!(prices.check().is_ok());
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let models = BTreeMap::from([("a/b".to_owned(), price(bad, 0.0))]);
            assert!(Prices { models, ..Prices::default() }.check().is_err());
        }
    }
}
