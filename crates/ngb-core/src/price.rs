//! What tokens cost: a table that the operator keeps. What is not in it has no price, which is not the same as none.

use std::{collections::BTreeMap, fmt};

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

impl TokenCounts {
    pub fn sum(self) -> u64 {
        self.input + self.output + self.cache_read + self.cache_write
    }
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

impl Price {
    /// What `tokens` cost, in millionths of the currency's unit.
    pub fn cost_micros(&self, tokens: TokenCounts) -> u64 {
        let Self { input, output, cache_read, cache_write } = *self;
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
        let micros = cost.round() as u64;
        micros
    }
}

/// An amount of money, in millionths of the currency's unit; written as a number of whole units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Money {
    pub micros: u64,
}

/// Most that can be written exactly: a billion units.
const MAX_MONEY: f64 = 1e9;

impl TryFrom<f64> for Money {
    type Error = String;

    fn try_from(units: f64) -> Result<Self, String> {
        if !(0.0..=MAX_MONEY).contains(&units) {
            return Err(format!("{units} is no amount of money: it is from 0 to {MAX_MONEY}"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was just found to be in range"
        )]
        let micros = (units * 1e6).round() as u64;
        Ok(Self { micros })
    }
}

impl From<Money> for f64 {
    fn from(it: Money) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "2^53 millionths are 9 billion units")]
        let micros = it.micros as Self;
        micros / 1e6
    }
}

/// As it is written: `5`, `0.25`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f64::from(*self).fmt(f)
    }
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
        Some(self.of(provider, model)?.cost_micros(tokens))
    }

    /// The price of a model: by its whole name, else by the longest beginning.
    pub fn of(&self, provider: &str, model: &str) -> Option<Price> {
        let name = format!("{provider}/{model}");
        let found = self.models.get(&name).or_else(|| {
            let beginning =
                |it: &&String| it.strip_suffix('*').is_some_and(|it| name.starts_with(it));
            let longest = self.models.keys().filter(beginning).max_by_key(|it| it.len())?;
            self.models.get(longest)
        });
        found.copied()
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
        assert_eq!(Money::try_from(0.25), Ok(Money { micros: 250_000 }));
        assert_eq!(serde_json::to_string(&Money { micros: 5_250_000 }).unwrap(), "5.25");
        for bad in ["-1", "1e10", "\"5\""] {
            assert!(serde_json::from_str::<Money>(bad).is_err(), "{bad}");
        }
        assert!(prices.check().is_ok());
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            let models = BTreeMap::from([("a/b".to_owned(), price(bad, 0.0))]);
            assert!(Prices { models, ..Prices::default() }.check().is_err());
        }
    }
}
