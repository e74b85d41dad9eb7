//! What theory predicts for the lab's own services: the profiles of `sim`, the strategies, the limit.

use std::{num::NonZeroU32, sync::Arc};

use lab::{
    sim::{Law, Profile},
    theory::{Figure, Flow, Limited, ServiceTime, in_flight, limited, unloaded},
};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

fn profile(text: &str) -> Profile {
    text.parse().expect(text)
}

fn service_time(profile: &Profile) -> ServiceTime {
    let law = Arc::new(Law::of(profile));
    let (within, quantile) = (Arc::clone(&law), Arc::clone(&law));
    ServiceTime::new(
        law.mean_ms(),
        law.squared_variation(),
        move |ms| within.share_within(ms),
        move |share| quantile.quantile_ms(share),
    )
    .memoryless(law.is_memoryless())
}

fn of(text: &str) -> ServiceTime {
    service_time(&profile(text))
}

fn lab() -> (ServiceTime, ServiceTime) {
    (of("uniform:50,150"), of("uniform:300,1200"))
}

fn behind(limit: u32, rate_per_second: f64, b: &str, wait_limit_ms: Option<f64>) -> Limited {
    limited(rate_per_second, &of(b), NonZeroU32::new(limit).expect("a limit"), wait_limit_ms)
}

fn exact(figure: Figure) -> f64 {
    match figure {
        Figure::Exact { value, source } => {
            assert!(!source.is_empty());
            value
        }
        other => panic!("{other:?}"),
    }
}

fn near(figure: Figure, expect: f64, within: f64) {
    let value = figure.value().unwrap_or_else(|| panic!("{figure:?}"));
    assert!((value - expect).abs() <= within, "{value}, not {expect}");
}

#[test]
fn the_strategies_take_the_computed_time() {
    let (a, b) = lab();
    let sync = unloaded(Flow::Sequence, &a, &b);
    near(sync.mean_ms(), 850.0, 1e-9);
    near(sync.quantile_ms(0.5), 850.0, 0.1);
    // 1350 - sqrt((1 - q) * 2 * 100 * 900): 1255 and 1308.
    near(sync.quantile_ms(0.95), 1350.0 - 9000.0_f64.sqrt(), 0.01);
    near(sync.quantile_ms(0.99), 1350.0 - 1800.0_f64.sqrt(), 0.01);
    near(sync.timeout_share(), 0.0, 0.0);
    let both = unloaded(Flow::Parallel, &a, &b);
    for (share, expect) in [(0.5, 750.0), (0.95, 1155.0), (0.99, 1191.0)] {
        near(both.quantile_ms(share), expect, 1e-6);
    }
    near(both.mean_ms(), 750.0, 1e-6);
    near(both.share_within(1500.0), 1.0, 0.0);
    assert!((in_flight(30.0, exact(sync.mean_ms())) - 25.5).abs() < 1e-9);
    assert!((in_flight(30.0, exact(both.mean_ms())) - 22.5).abs() < 1e-6);
}

#[test]
fn a_request_cut_off_by_a_deadline_is_infinitely_slow() {
    let (a, b) = lab();
    for (ms, timeouts) in [(600.0, 600.0 / 900.0), (1000.0, 200.0 / 900.0), (1200.0, 0.0), (0.0, 1.0)] {
        let request = unloaded(Flow::Deadline { ms }, &a, &b);
        near(request.timeout_share(), timeouts, 1e-12);
        near(request.share_within(5000.0), 1.0 - timeouts, 1e-12);
    }
    let request = unloaded(Flow::Deadline { ms: 1000.0 }, &a, &b);
    near(request.quantile_ms(0.5), 750.0, 1e-6);
    assert_eq!(request.quantile_ms(0.95), Figure::NotReached);
    assert_eq!((Figure::NotReached.value(), Figure::NotReached.kind()), (None, "none"));
    // Until its deadline it is there: the mean of min(B, 1000).
    near(request.mean_ms(), 750.0 - 200.0 * 200.0 / 1800.0, 1e-6);
    // What ends at the deadline is in time.
    let constant = of("constant:1000");
    near(unloaded(Flow::Deadline { ms: 1000.0 }, &a, &constant).timeout_share(), 0.0, 0.0);
    near(unloaded(Flow::Deadline { ms: 999.0 }, &a, &constant).timeout_share(), 1.0, 0.0);
    near(unloaded(Flow::Deadline { ms: 999.0 }, &a, &constant).mean_ms(), 999.0, 1e-9);
}

#[test]
fn closed_forms_of_two_services_are_met() {
    // Two exponentials of one mean: the longer has 3/2 of it, the sum is an Erlang distribution.
    let exponential = of("exponential:100");
    let both = unloaded(Flow::Parallel, &exponential, &exponential);
    near(both.mean_ms(), 150.0, 1e-6);
    near(both.quantile_ms(0.25), 100.0 * std::f64::consts::LN_2, 1e-6);
    let sum = unloaded(Flow::Sequence, &exponential, &exponential);
    near(sum.share_within(300.0), 1.0 - 4.0 * (-3.0_f64).exp(), 0.00025);
    // A constant only moves the other.
    let moved = unloaded(Flow::Sequence, &of("constant:100"), &of("lognormal:200,0.5"));
    near(moved.quantile_ms(0.5), 300.0, 1e-6);
    let steps = unloaded(Flow::Sequence, &of("bimodal:50,1000,0.1,0"), &of("constant:10"));
    near(steps.quantile_ms(0.9), 60.0, 1e-6);
    near(steps.quantile_ms(0.91), 1010.0, 1e-6);
}

#[test]
fn the_theoretical_distribution_of_every_profile_matches_its_draws() {
    const DRAWS: usize = 20_000;
    let measured =
        Profile::Empirical { name: "measured".to_owned(), samples: [5.0, 80.0, 80.0, 900.0].into() };
    let mut profiles: Vec<Profile> =
        ["constant:100", "uniform:50,150", "exponential:100", "lognormal:80,0.6", "bimodal:50,400,0.2"]
            .map(profile)
            .into();
    profiles.push(measured);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for a in &profiles {
        for b in &profiles {
            let draws: Vec<(f64, f64)> =
                (0..DRAWS).map(|_| (a.sample(&mut rng), b.sample(&mut rng))).collect();
            for flow in [Flow::Sequence, Flow::Parallel, Flow::Deadline { ms: 120.0 }] {
                let request = unloaded(flow, &service_time(a), &service_time(b));
                let times: Vec<f64> = draws
                    .iter()
                    .map(|(a, b)| match flow {
                        Flow::Sequence => a + b,
                        Flow::Parallel => a.max(*b),
                        Flow::Deadline { ms } => a.max(*b).min(ms),
                    })
                    .collect();
                let about = format!("{a}, {b}, {flow:?}");
                let n = DRAWS as f64;
                let mean = times.iter().sum::<f64>() / n;
                let variance = times.iter().map(|ms| (ms - mean).powi(2)).sum::<f64>() / n;
                let error = (exact(request.mean_ms()) - mean).abs();
                assert!(error <= 4.5 * (variance / n).sqrt() + 1e-6, "{about}: mean {mean}, off by {error}");
                for share in [0.05, 0.5, 0.95, 0.99] {
                    let Some(ms) = request.quantile_ms(share).value() else {
                        let timeouts = exact(request.timeout_share());
                        assert!(matches!(flow, Flow::Deadline { .. }) && timeouts > 1.0 - share, "{about}");
                        continue;
                    };
                    // Draws go through logarithms: they are rounded.
                    let within = times.iter().filter(|time| **time <= ms * (1.0 + 1e-9)).count() as f64 / n;
                    let below = times.iter().filter(|time| **time < ms * (1.0 - 1e-9)).count() as f64 / n;
                    let error = 4.5 * (share * (1.0 - share) / n).sqrt() + 0.000_25;
                    assert!(below - error <= share && share <= within + error, "{about}: {share} at {ms}");
                }
            }
        }
    }
}

#[test]
fn the_throughput_of_a_limit_is_its_permits_divided_by_the_call_time() {
    let steady = behind(32, 30.0, "uniform:300,1200", None);
    assert!((steady.carried_per_second.expect("it takes time") - 32.0 / 0.75).abs() < 1e-9);
    assert_eq!(exact(steady.in_service), 22.5);
    assert_eq!(steady.mean_wait_ms.kind(), "approximate");
    near(steady.mean_wait_ms, 2.2, 0.1);
    assert!(matches!(steady.p95_wait_ms, Figure::NoFormula { .. }), "{:?}", steady.p95_wait_ms);
    let busy = behind(24, 30.0, "uniform:300,1200", None);
    assert_eq!(busy.p95_wait_ms.kind(), "approximate");
    let memoryless = behind(32, 30.0, "exponential:750", None);
    for figure in [memoryless.mean_wait_ms, memoryless.p95_wait_ms, memoryless.waiting_share] {
        exact(figure);
    }
    let one = behind(1, 1.0, "uniform:300,1200", None);
    // ρS (1 + v) / (2 (1 - ρ))
    near(one.mean_wait_ms, 0.75 * 750.0 * 1.12 / 0.5, 1e-6);
    exact(one.mean_wait_ms);
}

#[test]
fn without_a_bound_on_the_wait_an_overload_grows_without_end() {
    let overload = behind(20, 30.0, "uniform:300,1200", None);
    for figure in [overload.mean_wait_ms, overload.p95_wait_ms, overload.waiting, overload.waiting_share] {
        let Figure::NoSteadyState { backlog_growth_per_second } = figure else { panic!("{figure:?}") };
        assert!((backlog_growth_per_second - (30.0 - 20.0 / 0.75)).abs() < 1e-9);
    }
    assert_eq!(exact(overload.in_service), 20.0);
    assert!((exact(overload.served_per_second) - 20.0 / 0.75).abs() < 1e-9);
    // Just as much as it carries: no growth to speak of, and no end to it.
    let brim = behind(20, 20.0, "constant:1000", None);
    assert_eq!(brim.mean_wait_ms, Figure::NoSteadyState { backlog_growth_per_second: 0.0 });

    let bounded = behind(20, 30.0, "uniform:300,1200", Some(1000.0));
    assert!((bounded.excess_share - 1.0 / 9.0).abs() < 1e-12);
    near(bounded.shed_share, 0.11, 0.005);
    assert_eq!(bounded.p95_wait_ms, Figure::NotReached);
    near(bounded.served_per_second, 26.67, 0.1);
    let calls = bounded.waiting.value().expect("calls") + bounded.in_service.value().expect("calls");
    assert!((calls - 45.0).abs() < 1.0, "{calls} in flight");
}

#[test]
fn without_a_formula_it_gives_the_reason() {
    let wild = behind(8, 1.0, "lognormal:500,2", None);
    assert!(matches!(wild.mean_wait_ms, Figure::NoFormula { .. }), "{:?}", wild.mean_wait_ms);
    assert!(exact(wild.in_service) > 0.0, "L = λW holds all the same");
    // Erlang's loss holds for every distribution.
    let at_once = behind(8, 1.0, "lognormal:500,2", Some(0.0));
    exact(at_once.shed_share);
    let nothing = behind(8, 30.0, "constant:0", None);
    assert_eq!((nothing.carried_per_second, exact(nothing.mean_wait_ms)), (None, 0.0));
}

fn any_profile() -> impl Strategy<Value = Profile> {
    let ms = || prop_oneof![Just(0.0), 0.0..10.0_f64, 0.0..=600_000.0_f64];
    let sigma = || prop_oneof![Just(0.0), 0.0..=4.0_f64];
    prop_oneof![
        ms().prop_map(|ms| Profile::Constant { ms }),
        (ms(), ms()).prop_map(|(a, b)| Profile::Uniform { min: a.min(b), max: a.max(b) }),
        ms().prop_map(|mean| Profile::Exponential { mean }),
        (ms(), sigma()).prop_map(|(median, sigma)| Profile::LogNormal { median, sigma }),
        (ms(), ms(), 0.0..=1.0_f64, sigma()).prop_map(|(fast, slow, share, sigma)| Profile::Bimodal {
            fast,
            slow,
            share,
            sigma
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_is_set_the_figures_are_finite_and_in_order(
        a in any_profile(),
        b in any_profile(),
        deadline_ms in 0.0..600_000.0_f64,
        limit in prop_oneof![1_u32..50, 1_u32..=10_000],
        rate_per_second in prop_oneof![Just(0.0), 0.0..100.0_f64, 0.0..1e9_f64],
        wait_limit_ms in proptest::option::of(prop_oneof![Just(0.0), 0.0..600_000.0_f64]),
    ) {
        let (a, b) = (service_time(&a), service_time(&b));
        for flow in [Flow::Sequence, Flow::Parallel, Flow::Deadline { ms: deadline_ms }] {
            let request = unloaded(flow, &a, &b);
            let mean_ms = exact(request.mean_ms());
            prop_assert!((0.0..=1_200_000.0).contains(&mean_ms), "{mean_ms}");
            prop_assert!((0.0..=1.0).contains(&exact(request.timeout_share())));
            let mut last = 0.0;
            for share in [0.5, 0.95, 0.99] {
                let ms = request.quantile_ms(share).value().unwrap_or(f64::INFINITY);
                prop_assert!(ms >= last, "{ms}");
                prop_assert!(ms.is_infinite() || exact(request.share_within(ms)) >= share - 1e-9);
                last = ms;
            }
        }
        let theory = limited(rate_per_second, &b, NonZeroU32::new(limit).expect("a limit"), wait_limit_ms);
        let shares = [theory.shed_share, theory.waiting_share];
        for share in shares.into_iter().filter_map(|figure| figure.value()).chain([theory.excess_share]) {
            prop_assert!((0.0..=1.0).contains(&share), "{theory:?}");
        }
        let rest = [theory.served_per_second, theory.mean_wait_ms, theory.p95_wait_ms, theory.waiting, theory.in_service];
        for value in rest.into_iter().filter_map(|figure| figure.value()).chain([theory.utilisation]) {
            prop_assert!(value.is_finite() && value >= 0.0, "{theory:?}");
        }
        if let Some(in_service) = theory.in_service.value() {
            prop_assert!(in_service <= f64::from(limit) * (1.0 + 1e-9), "{theory:?}");
        }
    }
}
