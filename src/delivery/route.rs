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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::delivery::message::{Envelope, Message};
    use crate::delivery::provider::{MessageProvider, SendError, VerifyProvider};
    use crate::secret::Code;
    use crate::verification::courier::{ProviderLimits, ProviderVerdict};

    /// Serves SMS, and WhatsApp where it says so, to one country or all.
    struct Fake {
        channels: Vec<Channel>,
        country: Option<Country>,
    }

    #[async_trait]
    impl MessageProvider for Fake {
        fn channels(&self) -> &[Channel] {
            &self.channels
        }

        fn reaches(&self, country: Option<Country>) -> bool {
            self.country.is_none() || country == self.country
        }

        async fn send(&self, _: &Message) -> Result<String, SendError> {
            Err(SendError::unavailable("a fake"))
        }
    }

    #[async_trait]
    impl VerifyProvider for Fake {
        fn channels(&self) -> &[Channel] {
            &self.channels
        }

        fn limits(&self) -> ProviderLimits {
            ProviderLimits { life: std::time::Duration::from_secs(600), checks: 5 }
        }

        async fn start(&self, _: &Envelope) -> Result<String, SendError> {
            Err(SendError::unavailable("a fake"))
        }

        async fn check(&self, _: &str, _: &Code) -> Result<ProviderVerdict, SendError> {
            Err(SendError::unavailable("a fake"))
        }
    }

    fn sends(name: &str, channels: &[Channel], country: Option<&str>) -> Provider {
        let fake = Fake { channels: channels.to_vec(), country: country.and_then(Country::parse) };
        Provider { name: name.into(), family: Family::Message(Arc::new(fake)) }
    }

    fn verifies(name: &str) -> Provider {
        let fake = Fake { channels: vec![Channel::Sms], country: None };
        Provider { name: name.into(), family: Family::Verify(Arc::new(fake)) }
    }

    fn three() -> Vec<Provider> {
        vec![
            sends("a", &[Channel::Sms], None),
            sends("b", &[Channel::Sms, Channel::Whatsapp], None),
            sends("c", &[Channel::Sms], Some("DE")),
        ]
    }

    fn sms(countries: &[&str], providers: &[usize], weights: &[u32]) -> Route {
        let countries = countries.iter().map(|code| Country::parse(code).expect("a country")).collect::<Vec<_>>();
        let countries = Some(countries).filter(|countries| !countries.is_empty());
        Route { channel: Channel::Sms, countries, providers: providers.to_vec(), weights: weights.to_vec() }
    }

    fn path(routes: &Routes, providers: &[Provider], country: &str, draw: u64) -> Vec<usize> {
        routes.path(providers, Channel::Sms, Country::parse(country), draw, |_| 0.0)
    }

    #[test]
    fn without_routes_every_provider_of_the_channel_is_asked_in_order() {
        let providers = three();
        let routes = Routes::new(Vec::new(), Routing::Ordered, &providers).expect("routes");
        assert_eq!(path(&routes, &providers, "DE", 0), [0, 1, 2]);
        assert_eq!(path(&routes, &providers, "FR", 0), [0, 1], "c does not reach France");
        assert_eq!(routes.path(&providers, Channel::Whatsapp, None, 0, |_| 0.0), [1]);
        assert_eq!(routes.path(&providers, Channel::Email, None, 0, |_| 0.0), [0; 0]);
    }

    #[test]
    fn the_first_route_that_names_the_country_counts_and_the_others_fall_through() {
        let providers = three();
        let configured = vec![sms(&["AT", "DE"], &[2, 0], &[]), sms(&["DE"], &[1], &[]), sms(&["FR"], &[1], &[])];
        let routes = Routes::new(configured, Routing::Ordered, &providers).expect("routes");
        assert_eq!(path(&routes, &providers, "DE", 0), [2, 0]);
        assert_eq!(path(&routes, &providers, "AT", 0), [0], "the route is Austria's too, and c does not reach it");
        assert_eq!(path(&routes, &providers, "FR", 0), [1]);
        assert_eq!(path(&routes, &providers, "ES", 0), [0, 1], "no route names Spain: all that reach it");
        assert_eq!(routes.path(&providers, Channel::Sms, None, 0, |_| 0.0), [0, 1], "no country fits no route that names some");
    }

    #[test]
    fn weights_are_shares_of_the_draws_and_the_others_follow_in_order() {
        let providers = three();
        let routes = Routes::new(vec![sms(&[], &[0, 1, 2], &[5, 3, 2])], Routing::Weighted, &providers).expect("routes");
        let mut first = [0; 3];
        for draw in 0..1_000 {
            let path = path(&routes, &providers, "DE", draw);
            first[path[0]] += 1;
            let mut rest = path[1..].to_vec();
            assert!(rest.is_sorted(), "{path:?}");
            rest.push(path[0]);
            rest.sort_unstable();
            assert_eq!(rest, [0, 1, 2]);
        }
        assert_eq!(first, [500, 300, 200]);
        // Who does not reach the country has no share.
        let firsts: Vec<_> = (0..8).map(|draw| path(&routes, &providers, "FR", draw)[0]).collect();
        assert_eq!(firsts, [0, 0, 0, 0, 0, 1, 1, 1]);
        let even = Routes::new(Vec::new(), Routing::Weighted, &providers).expect("routes");
        assert_eq!((0..3).map(|draw| path(&even, &providers, "DE", draw)[0]).collect::<Vec<_>>(), [0, 1, 2], "no weights: all the same");
    }

    #[test]
    fn adaptive_goes_by_score_and_now_and_then_explores() {
        let providers = three();
        let routes = Routes::new(Vec::new(), Routing::Adaptive, &providers).expect("routes");
        let score = |place: usize| [0.5, 0.9, 0.1][place];
        let path = |draw| routes.path(&providers, Channel::Sms, Country::parse("DE"), draw, score);
        assert_eq!(path(1), [1, 0, 2]);
        let explored: Vec<_> = (0..6_000).map(path).filter(|path| path[0] != 1).collect();
        // One in twenty, of which a third is the best one anyway.
        assert_eq!(explored.len(), 6_000 / 20 * 2 / 3);
        assert!(explored.contains(&vec![2, 1, 0]) && explored.contains(&vec![0, 1, 2]), "the others follow by score");
    }

    #[test]
    fn routes_that_cannot_be_are_refused() {
        let mut providers = three();
        providers.push(verifies("v"));
        let refusal = |route: Route| Routes::new(vec![sms(&[], &[0], &[]), route], Routing::Ordered, &providers).err();
        assert_eq!(refusal(sms(&[], &[], &[])), Some((1, RouteError::Empty)));
        assert_eq!(refusal(sms(&[], &[0, 1], &[1])), Some((1, RouteError::Weights)));
        assert_eq!(refusal(sms(&[], &[0, 1], &[1, 0])), Some((1, RouteError::Weights)));
        let whatsapp = Route { channel: Channel::Whatsapp, ..sms(&[], &[1, 0], &[]) };
        assert_eq!(refusal(whatsapp), Some((1, RouteError::OtherChannel("a".into(), Channel::Whatsapp))));
        assert_eq!(refusal(sms(&[], &[3], &[])), None);
        for mixed in [&[0, 3], &[3, 0], &[3, 3]] {
            assert_eq!(refusal(sms(&[], mixed, &[])), Some((1, RouteError::MixedFamilies("v".into()))), "{mixed:?}");
        }
    }

    /// Two families never share a message by default either: the first provider's family counts.
    #[test]
    fn the_default_never_mixes_families() {
        let ours_first = [vec![verifies("v")], three()].concat();
        let routes = Routes::new(Vec::new(), Routing::Ordered, &ours_first).expect("routes");
        assert_eq!(path(&routes, &ours_first, "DE", 0), [0]);
        let theirs_last = [three(), vec![verifies("v")]].concat();
        let routes = Routes::new(Vec::new(), Routing::Ordered, &theirs_last).expect("routes");
        assert_eq!(path(&routes, &theirs_last, "DE", 0), [0, 1, 2]);
    }
}
