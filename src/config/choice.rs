//! Enums whose variants have names: each variant and its name are written once, the rest follows.

/// Makes an enum whose variants are shown by a name: in a metric's label, a report, a document.
#[macro_export]
macro_rules! labelled {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $variant:ident = $label:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All of them, in the order of declaration.
            $vis const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            /// Its name.
            $vis const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }
    };
}

/// Makes an enum that is also chosen by name: in a flag, a variable, a file, a body.
#[macro_export]
macro_rules! choice {
    (@phrase $one:literal) => { concat!("only ", $one) };
    (@phrase $one:literal $other:literal) => { concat!($one, " or ", $other) };
    (@phrase $one:literal $($other:literal)+) => { concat!($one, ", ", $crate::choice!(@phrase $($other)+)) };
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$doc:meta])* $variant:ident = $label:literal,)+
    }) => {
        $crate::labelled! {
            $(#[$meta])* $vis enum $name {
                $($(#[$doc])* $variant = $label,)+
            }
        }

        impl $crate::config::Allowed for $name {
            const ALLOWED: &'static str = $crate::choice!(@phrase $($label)+);
        }
        impl std::str::FromStr for $name {
            type Err = $crate::config::Invalid;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let named = Self::ALL.into_iter().find(|choice| choice.label() == text.trim());
                let allowed = <Self as $crate::config::Allowed>::ALLOWED;
                named.ok_or_else(|| $crate::config::Invalid::new(text, allowed))
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.label())
            }
        }
        $crate::documented!($name as String, one of &Self::ALL.map(Self::label));
    };
}
