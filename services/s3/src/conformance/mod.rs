//! What every object store must do for Granary, as plain functions over a running endpoint: run on the embedded endpoint in
//! this crate's tests, and on real servers wherever there is one.
//!
//! Each case makes a bucket of its own and leaves nothing else behind. A case panics where the store is not as it should be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a suite of tests stops at the first thing that is not as it should be"
)]

mod client;
pub mod integrity;
pub mod keys;
pub mod listing;
pub mod multipart;
pub mod objects;
pub mod reading;
pub mod signing;

pub use self::client::{Answer, Call, Scratch, Target};

/// Hands all cases, as `module::function`, to a macro.
#[macro_export]
macro_rules! for_each_conformance_case {
    ($callback:ident) => {
        $callback! {
            objects::an_object_comes_back_as_it_was_sent,
            objects::headers_and_metadata_come_back,
            objects::a_second_write_replaces_all_of_the_first,
            objects::deleting_is_idempotent,
            objects::many_are_deleted_at_once,
            objects::a_copy_has_the_bytes_and_the_metadata,
            objects::a_copy_may_replace_the_metadata,
            objects::what_is_missing_is_named,
            objects::a_bucket_with_objects_is_not_deleted,
            reading::ranges_are_cut_as_http_says,
            reading::conditions_on_reads_hold,
            reading::an_answer_can_override_headers,
            reading::a_large_object_streams,
            integrity::a_name_is_given_once_if_so_demanded,
            integrity::of_many_writers_exactly_one_wins,
            integrity::a_wrong_checksum_stores_nothing,
            integrity::a_wrong_checksum_replaces_nothing,
            integrity::a_body_that_breaks_off_stores_nothing,
            integrity::checksums_are_remembered,
            keys::strange_names_are_names,
            keys::names_that_look_alike_are_different,
            listing::keys_come_in_byte_order_and_pages,
            listing::a_delimiter_groups,
            listing::a_listing_may_start_anywhere,
            listing::sizes_and_tags_are_listed,
            multipart::parts_in_any_order_make_one_object,
            multipart::a_short_part_may_come_first,
            multipart::the_last_copy_of_a_part_counts,
            multipart::a_taken_name_is_not_taken_again,
            multipart::a_wrong_list_of_parts_is_refused,
            multipart::a_damaged_part_is_refused,
            multipart::the_checksum_of_the_whole_is_compared,
            multipart::an_aborted_upload_is_gone,
            multipart::parts_are_listed_in_pages,
            multipart::a_part_may_be_a_copy,
            signing::nothing_without_a_signature,
            signing::foreign_keys_are_refused,
            signing::an_expired_url_is_refused,
            signing::a_changed_url_is_refused,
            signing::signed_headers_are_demanded,
        }
    };
}

/// One case of the suite.
pub struct Case {
    /// `module::function`.
    pub name: &'static str,
    /// Runs it.
    pub run: for<'a> fn(&'a Target) -> futures::future::BoxFuture<'a, ()>,
}

macro_rules! list {
    ($($module:ident::$name:ident,)*) => {
        /// All cases.
        pub fn cases() -> Vec<Case> {
            vec![$(Case {
                name: concat!(stringify!($module), "::", stringify!($name)),
                run: |target| Box::pin($module::$name(target)),
            }),*]
        }
    };
}

for_each_conformance_case!(list);
