//! Routes: which providers are asked for a channel and a country, and in which order.

use std::sync::Arc;

use crate::delivery::provider::{Family, Provider};
use crate::verification::destination::Country;
use crate::verification::model::Channel;

/// One message in so many goes first to a provider that is not the best, so that its figures stay fresh.
const EXPLORE_ONE_IN: u64 = 20;

/// How providers of a route are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Routing {
    /// As the route lists them.
    Ordered,
    /// The first by weight, the others as listed.
    Weighted,
    /// By results: success, receipts, speed.
    Adaptive,
}

/// Providers in order for a channel and countries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The channel.
    pub channel: Channel,
    /// The countries; none: all that no earlier route names, and mail addresses.
    pub countries: Option<Vec<Country>>,
    /// Places in the list of providers.
    pub providers: Vec<usize>,
    /// Of each provider; empty: all the same.
    pub weights: Vec<u32>,
}

/// Every route.
#[derive(Debug, Clone)]
pub struct Routes {
    routes: Vec<Route>,
    routing: Routing,
}

/// A route that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// It names a provider that is not configured.
    #[error("names the provider \"{0}\", which is not configured")]
    Unknown(String),
    /// It names a provider that does not serve its channel.
    #[error("names the provider \"{0}\", which does not serve {1}")]
    OtherChannel(Arc<str>, Channel),
    /// It names nobody.
    #[error("must name at least one provider")]
    Empty,
    /// A provider that makes its own codes is not alone.
    #[error("\"{0}\" makes its own codes, so it must be alone in its route: another provider's code would be live beside it")]
    MixedFamilies(Arc<str>),
    /// Weights without a provider each.
    #[error("must have one weight above 0 for each provider, or none")]
    Weights,
}

impl Routes {
    /// Checks what is configured, and adds for each channel what holds when nothing is: every provider that serves it, in the
    /// order in which they are configured.
    pub fn new(configured: Vec<Route>, routing: Routing, providers: &[Provider]) -> Result<Routes, (usize, RouteError)> {
        for (index, route) in configured.iter().enumerate() {
            check(route, providers).map_err(|error| (index, error))?;
        }
        let mut routes = configured;
        for channel in Channel::ALL {
            let serving = || providers.iter().enumerate().filter(|(_, provider)| provider.channels().contains(&channel));
            let own_codes = |provider: &Provider| matches!(provider.family, Family::Verify(_));
            let Some((first, provider)) = serving().next() else { continue };
            let members = match own_codes(provider) {
                true => vec![first],
                false => serving().filter(|(_, provider)| !own_codes(provider)).map(|(place, _)| place).collect(),
            };
            routes.push(Route { channel, countries: None, providers: members, weights: Vec::new() });
        }
        Ok(Routes { routes, routing })
    }

    /// Every route, in the order in which they are tried; those that hold when nothing is configured are last.
    pub fn all(&self) -> &[Route] {
        &self.routes
    }

    /// Who is asked first by the route's own order: its family is that of the whole route.
    pub fn first(&self, providers: &[Provider], channel: Channel, country: Option<Country>) -> Option<usize> {
        self.route(channel, country)?.providers.iter().copied().find(|&place| providers[place].serves(channel, country))
    }

    /// Whether the order depends on more than the route.
    pub fn is_drawn(&self) -> bool {
        self.routing != Routing::Ordered
    }

    fn route(&self, channel: Channel, country: Option<Country>) -> Option<&Route> {
        let concerns = |route: &&Route| {
            let named = route.countries.as_ref().is_none_or(|countries| country.is_some_and(|country| countries.contains(&country)));
            route.channel == channel && named
        };
        self.routes.iter().find(concerns)
    }

    /// Whom to ask, in order. `draw` is a random number, `score` tells how well a provider does (more is better).
    pub fn path(
        &self,
        providers: &[Provider],
        channel: Channel,
        country: Option<Country>,
        draw: u64,
        score: impl Fn(usize) -> f64,
    ) -> Vec<usize> {
        let Some(route) = self.route(channel, country) else { return Vec::new() };
        let mut path: Vec<usize> = route.providers.iter().copied().filter(|&place| providers[place].serves(channel, country)).collect();
        match self.routing {
            Routing::Ordered => {}
            Routing::Weighted => {
                let weight = |place: usize| {
                    let index = route.providers.iter().position(|&member| member == place);
                    u64::from(index.and_then(|index| route.weights.get(index)).copied().unwrap_or(1))
                };
                let mut rest = draw % path.iter().map(|&place| weight(place)).sum::<u64>().max(1);
                let chosen = path.iter().position(|&place| match rest.checked_sub(weight(place)) {
                    Some(left) => {
                        rest = left;
                        false
                    }
                    None => true,
                });
                to_front(&mut path, chosen);
            }
            Routing::Adaptive => {
                path.sort_by(|&left, &right| score(right).total_cmp(&score(left)));
                if draw.is_multiple_of(EXPLORE_ONE_IN) && !path.is_empty() {
                    let chosen = (draw / EXPLORE_ONE_IN) as usize % path.len();
                    to_front(&mut path, Some(chosen));
                }
            }
        }
        path
    }
}

fn to_front(path: &mut [usize], chosen: Option<usize>) {
    if let Some(chosen) = chosen {
        path[..=chosen].rotate_right(1);
    }
}

fn check(route: &Route, providers: &[Provider]) -> Result<(), RouteError> {
    if route.providers.is_empty() {
        return Err(RouteError::Empty);
    }
    if !route.weights.is_empty() && (route.weights.len() != route.providers.len() || route.weights.contains(&0)) {
        return Err(RouteError::Weights);
    }
    for &place in &route.providers {
        let provider = &providers[place];
        if !provider.channels().contains(&route.channel) {
            return Err(RouteError::OtherChannel(Arc::clone(&provider.name), route.channel));
        }
        if matches!(provider.family, Family::Verify(_)) && route.providers.len() > 1 {
            return Err(RouteError::MixedFamilies(Arc::clone(&provider.name)));
        }
    }
    Ok(())
}
