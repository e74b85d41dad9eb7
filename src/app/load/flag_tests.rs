//! Every pair of flags of `lab load` is either refused, or both are used.

use clap::Parser as _;

use super::{Args, Command};

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

const FLAGS: [&str; 21] = [
    "--closed=2",
    "--paced",
    "--find-max=good>90%",
    "--precision=5%",
    "--max-rate=5",
    "--check=good>90%",
    "--schedule=5 for 1s",
    "--rate=5",
    "--for=1s",
    "-n5",
    "--arrivals=poisson",
    "--seed=5",
    "--max-in-flight=5",
    "--connections=5",
    "--http1",
    "--http2",
    "--insecure",
    "--ca=a.pem",
    "--cert=a.pem",
    "--key=a.pem",
    "--timeout=5s",
];

/// Flags that need another flag.
const NEEDS: [(&str, &str); 5] = [
    ("--key=a.pem", "--cert=a.pem"),
    ("--paced", "--closed=2"),
    ("--seed=5", "--arrivals=poisson"),
    ("--precision=5%", "--find-max=good>90%"),
    ("--max-rate=5", "--find-max=good>90%"),
];

/// Pairs in which one flag would be ignored.
const REFUSED: [(&str, &str); 14] = [
    ("-n5", "--for=1s"),
    ("-n5", "--schedule=5 for 1s"),
    ("-n5", "--find-max=good>90%"),
    ("--closed=2", "--find-max=good>90%"),
    ("--closed=2", "--max-in-flight=5"),
    ("--find-max=good>90%", "--check=good>90%"),
    ("--find-max=good>90%", "--schedule=5 for 1s"),
    ("--schedule=5 for 1s", "--rate=5"),
    ("--schedule=5 for 1s", "--for=1s"),
    ("--http1", "--http2"),
    ("--insecure", "--ca=a.pem"),
    ("--closed=2", "--rate=5"),
    ("--closed=2", "--schedule=5 for 1s"),
    ("--closed=2", "--arrivals=poisson"),
];
/// How many of the last pairs are allowed with --paced.
const USED_WHEN_PACED: usize = 3;

fn is_refused(flags: &[&str]) -> bool {
    let line = ["load", "https://h/"].iter().chain(flags);
    match Line::try_parse_from(line) {
        Ok(line) => line.args.run.check().is_err(),
        Err(_) => true,
    }
}

#[test]
fn no_accepted_flag_is_ignored() {
    for one in FLAGS {
        for other in FLAGS.into_iter().filter(|other| *other != one) {
            let mut flags = vec![one, other];
            for (flag, needed) in NEEDS {
                if flags.contains(&flag) && !flags.contains(&needed) {
                    flags.push(needed);
                }
            }
            let paced = flags.contains(&"--paced");
            let refused = &REFUSED[..REFUSED.len() - if paced { USED_WHEN_PACED } else { 0 }];
            let expected = refused.iter().any(|(a, b)| flags.contains(a) && flags.contains(b));
            assert_eq!(is_refused(&flags), expected, "{flags:?}");
        }
    }
    for (flag, _) in NEEDS {
        assert!(is_refused(&[flag]), "{flag}");
    }
    // A flag cannot be repeated, and the subcommands refuse flags that they do not use.
    assert!(is_refused(&["--rate=5", "--rate=6"]));
    for flag in ["--closed=2", "--paced", "--find-max=good>90%", "--check=good>90%", "--max-rate=5"] {
        assert!(Line::try_parse_from(["load", "compare", "http://a/", "http://b/", flag]).is_err(), "{flag}");
    }
    let merge = Line::try_parse_from(["load", "merge", "a.json"]).expect("a merge");
    assert!(matches!(merge.args.command, Some(Command::Merge(_))));
}
