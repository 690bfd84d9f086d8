//! A rate limit and a bucket, as they are shown.

use serde_json::{Value, json};

use crate::db::rate_limit::{Bucket, RateLimit};
use crate::http::twilio::date;
use crate::http::twilio::within::Within;

/// The resource.
pub fn limit(within: &Within, limit: &RateLimit) -> Value {
    let url = within.url(&format!("RateLimits/{}", limit.sid));
    json!({
        "sid": limit.sid,
        "service_sid": within.service.sid,
        "account_sid": within.account.sid(),
        "unique_name": limit.unique_name,
        "description": limit.description,
        "date_created": date::iso(limit.created_at),
        "date_updated": date::iso(limit.updated_at),
        "links": { "buckets": format!("{url}/Buckets") },
        "url": url,
    })
}

/// The resource.
pub fn bucket(within: &Within, limit_sid: &str, bucket: &Bucket) -> Value {
    json!({
        "sid": bucket.sid,
        "rate_limit_sid": limit_sid,
        "service_sid": within.service.sid,
        "account_sid": within.account.sid(),
        "max": bucket.most,
        "interval": bucket.seconds,
        "date_created": date::iso(bucket.created_at),
        "date_updated": date::iso(bucket.updated_at),
        "url": within.url(&format!("RateLimits/{limit_sid}/Buckets/{}", bucket.sid)),
    })
}
