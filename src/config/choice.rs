//! Enums whose variants have names. Each variant is declared once, with its name.

/// Declares an enum whose variants have a name for metric labels, reports and documents.
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
            /// All variants, in the order of declaration.
            $vis const ALL: [Self; [$($label),+].len()] = [$(Self::$variant),+];

            /// The variant's name.
            $vis const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label,)+
                }
            }
        }
    };
}

/// Declares a [`labelled!`](crate::labelled) enum that can also be parsed from a variant's name.
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
