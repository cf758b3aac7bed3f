// Small messages and rows are allocated and freed on every thread: a tenth of a call's time with the C library's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    granary::cli::main()
}
