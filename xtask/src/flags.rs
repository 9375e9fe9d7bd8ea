//! The command line.

xflags::xflags! {
    /// The automation of the workspace.
    cmd xtask {
        /// Checks everything that a change must pass.
        cmd ci {
            /// Adds the tests against every server, alone and in a cluster, coverage, and the instruction-count gate.
            optional --full
            /// Starts with this step.
            optional --from step: String
        }

        /// Formats the code.
        cmd fmt {
            /// Only says what is not formatted.
            optional --check
        }

        /// Runs clippy with warnings denied, then checks the facade with none, each, default and all features.
        cmd lint {}

        /// Checks what compilers do not: dependency directions and budgets, manifests, justfile, stray files.
        cmd tidy {}

        /// Builds everything.
        cmd build {}

        /// Builds the documentation of the published crates.
        cmd doc {
            /// Opens it in a browser.
            optional --open
            /// Denies warnings.
            optional --check
        }

        /// Runs all tests: unit, integration and doc tests, and those that need a nats-server, which is fetched.
        cmd test {
            /// Only tests with this text in their path.
            optional filter: String
            /// Shows what the tests print.
            optional -v, --verbose
            /// Only the tests of this crate.
            optional -p, --package name: String
        }

        /// Runs only the tests that need a nats-server.
        cmd test-nats {
            /// Only tests with this text in their path.
            optional filter: String
            /// Against this version, or `all`.
            optional --server version: String
            /// The conformance suite on three servers that keep every stream together.
            optional --cluster
            /// Only the tests of this crate.
            optional -p, --package name: String
        }

        /// Runs the benchmarks.
        cmd bench {
            /// A bench target, or a text in the benchmarks' names.
            optional name: String
        }

        /// Sends ten million events through a server and fails if delivery ever pauses for a second.
        cmd soak {
            /// How many events instead.
            optional events: u64
        }

        /// Measures the coverage of all tests but doc tests, and prints the totals.
        cmd cov {
            /// Prints a table of files.
            optional --table
            /// Writes target/coverage/html.
            optional --html
            /// Writes target/coverage/lcov.info.
            optional --lcov
            /// Opens the html in a browser.
            optional --open
        }

        /// Fetches and runs nats-server.
        cmd nats {
            /// Fetches a version, or `all`, into target/tools.
            cmd fetch {
                optional version: String
            }
            /// Runs a version with JetStream in the foreground.
            cmd run {
                optional version: String
                /// Listens on this port instead of 4222.
                optional --port number: u16
            }
        }

        /// Packages the crates in the order of their dependencies.
        cmd release {
            /// Uploads nothing.
            optional --dry-run
        }
    }
}
