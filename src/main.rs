//! Arguments to exit code; everything else is the library's.

fn main() -> std::process::ExitCode {
    keyferry::cli::main()
}
