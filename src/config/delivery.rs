//! `[delivery]`, `[[route]]` and `[provider.NAME]`: who is asked to deliver.

use figment::value::Dict;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::config::DurationText;
use crate::delivery::route::Routing;
use crate::verification::model::Channel;

/// `[delivery]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DeliveryConfig {
    /// How providers of a route are ordered.
    pub routing: Routing,
    /// Wait before the first retry.
    pub retry_wait: DurationText,
    /// For a silent provider, while there is another one.
    pub patience: DurationText,
    /// For a silent provider that is the last.
    pub timeout: DurationText,
    /// For a start that waits.
    pub wait: DurationText,
    /// Messages at once.
    pub queue: usize,
}

/// `[[route]]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The channel.
    pub channel: Channel,
    /// ISO 3166 codes; left out: every other country.
    #[serde(default)]
    pub countries: Option<Vec<String>>,
    /// Names of providers, in order.
    pub providers: Vec<String>,
    /// One for each; left out: all the same.
    #[serde(default)]
    pub weights: Vec<u32>,
}

/// `[provider.NAME]`: read by the kind of provider that it is of. Shown without its values, which are mostly secrets.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct ProviderSection(pub Dict);

impl Serialize for ProviderSection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            match value.as_str() {
                Some(kind) if key == "type" => map.serialize_entry(key, kind)?,
                _ => map.serialize_entry(key, "[set]")?,
            }
        }
        map.end()
    }
}
