//! The documents of the project as tests: every Rust block in them compiles and
//! runs. The tests across crates are in `it/`.

macro_rules! documents {
    ($($name:ident $path:literal,)+) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!($path)]
            mod $name {}
        )+
    };
}

documents! {
    readme "../README.md",
}
