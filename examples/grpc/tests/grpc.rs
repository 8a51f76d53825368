//! The program does what it prints.

use tower_auth_test_support::program::Program;

#[test]
fn the_example_prints_what_its_three_calls_get() {
    let mut program = Program::start(env!("CARGO_BIN_EXE_grpc"), &[]);
    assert_eq!(program.read_line().unwrap(), "without a token: Unauthenticated");
    assert_eq!(program.read_line().unwrap(), "without the scope: PermissionDenied");
    assert_eq!(program.read_line().unwrap(), "with both: Serving");
    assert_eq!(program.read_line(), None);
    assert_eq!(program.wait(), (String::new(), true));
}
