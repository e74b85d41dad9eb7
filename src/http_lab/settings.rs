//! The settings that can be changed while the lab runs, for all requests or for one.

use serde::{Deserialize, de::IgnoredAny};

use crate::{
    bounded,
    config::{Allowed, Fraction, Invalid, Seed},
    document,
    sim::{Contention, OnCallerGone, Profile},
    time,
    web::unknown_parameter,
};

bounded!(
    /// Calls to B at a time on `/async-limited`.
    pub AsyncLimit: u32 = 1 to 10000
);
time!(
    /// The longest wait for the semaphore; 0 is no limit.
    pub LimitWaitMs = 0 s to 60 s in milliseconds
);
time!(
    /// The deadline of `/async-timeout`.
    pub DeadlineMs = 1 ms to 60 s in milliseconds
);

/// Makes [`Settings`] and [`Patch`] from one list.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// The current settings; a request keeps those it started with.
        #[derive(Debug, Clone, PartialEq, serde::Serialize, utoipa::ToSchema)]
        pub struct Settings {
            $($(#[$doc])* pub $name: $type,)*
        }

        /// A change; settings that are left out keep their values.
        #[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Patch {
            /// The schema of `GET /settings`: may be sent back, and is ignored.
            #[schema(ignore)]
            pub schema: IgnoredAny,
            $($(#[$doc])* pub $name: Option<$type>,)*
        }

        /// What leads to these settings from any other.
        impl From<&Settings> for Patch {
            fn from(settings: &Settings) -> Self {
                Self { schema: IgnoredAny, $($name: Some(settings.$name.clone()),)* }
            }
        }

        impl Settings {
            /// These settings with a change applied.
            pub fn patched(&self, patch: Patch) -> Self {
                Self { $($name: patch.$name.unwrap_or_else(|| self.$name.clone()),)* }
            }
        }
    };
}

settings! {
    /// Service A's time.
    service_a_latency: Profile,
    /// Service A's share of failures.
    service_a_error_rate: Fraction,
    /// Service B's time.
    service_b_latency: Profile,
    /// Service B's share of failures.
    service_b_error_rate: Fraction,
    /// How calls in progress share service B.
    service_b_contention: Contention,
    /// What B does when its caller has left.
    service_b_on_caller_gone: OnCallerGone,
    /// The limit of `/async-limited`.
    async_limit: AsyncLimit,
    /// The longest wait for it; 0 is no limit.
    async_limit_max_wait_ms: LimitWaitMs,
    /// The deadline of `/async-timeout`.
    async_timeout_ms: DeadlineMs,
}

document!(Settings as "lab/settings/1");

/// A profile that a request may choose: it names no file and no time above a minute.
#[derive(Debug, Clone, PartialEq)]
pub struct BriefProfile(Profile);

impl BriefProfile {
    const LIMIT_MS: f64 = 60_000.0;

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.0
    }
}

impl Allowed for BriefProfile {
    const ALLOWED: &'static str = "constant:MS, uniform:MIN,MAX, exponential:MEAN, lognormal:MEDIAN,SIGMA or \
         bimodal:FAST,SLOW,SHARE[,SIGMA] (times from 0ms to 60s, a bare number is milliseconds; MIN <= MAX, \
         SIGMA 0 to 4, SHARE 0 to 1)";
}

impl std::str::FromStr for BriefProfile {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        match Profile::parse(text) {
            Ok(profile) if profile.largest_ms() <= Self::LIMIT_MS => Ok(Self(profile)),
            _ => Err(Invalid::new(text, Self::ALLOWED)),
        }
    }
}

/// Reads a parameter that may be given once.
fn once<T: std::str::FromStr<Err = Invalid>>(slot: &mut Option<T>, value: &str) -> Result<(), Invalid> {
    if slot.is_some() {
        return Err(Invalid::new(value, "a parameter may be given only once"));
    }
    *slot = Some(value.parse()?);
    Ok(())
}

/// The settings that one request may choose for itself, as query parameters.
#[derive(Debug, Default, Clone)]
pub struct Overrides {
    /// Service B's time for this request.
    pub b: Option<BriefProfile>,
    /// The longest wait for the semaphore; 0 is no limit.
    pub limit_wait_ms: Option<LimitWaitMs>,
    /// The deadline.
    pub deadline_ms: Option<DeadlineMs>,
    /// The seed of this request's draws: the same seed draws the same.
    pub seed: Option<Seed>,
}

impl Overrides {
    /// The parameters, each with its values.
    pub const ALLOWED: [(&'static str, &'static str); 4] = [
        ("b", BriefProfile::ALLOWED),
        ("limit_wait_ms", LimitWaitMs::ALLOWED),
        ("deadline_ms", DeadlineMs::ALLOWED),
        ("seed", Seed::ALLOWED),
    ];

    /// Parses a query string of parameters among `names`; an absent one changes nothing.
    ///
    /// # Errors
    /// The parameter, its value and what is allowed.
    pub fn parse(query: Option<&str>, names: &[&str]) -> Result<Self, (String, Invalid)> {
        let mut overrides = Self::default();
        let Some(query) = query else {
            return Ok(overrides);
        };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let refused = |invalid| (name.to_string(), invalid);
            match &*name {
                unknown if !names.contains(&unknown) => {
                    return Err(refused(unknown_parameter(&value, names)));
                }
                "b" => once(&mut overrides.b, &value).map_err(refused)?,
                "limit_wait_ms" => once(&mut overrides.limit_wait_ms, &value).map_err(refused)?,
                "deadline_ms" => once(&mut overrides.deadline_ms, &value).map_err(refused)?,
                "seed" => once(&mut overrides.seed, &value).map_err(refused)?,
                _ => {}
            }
        }
        Ok(overrides)
    }
}
