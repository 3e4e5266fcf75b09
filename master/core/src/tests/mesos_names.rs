//! Every scenario of the allocator and sorter tests of Apache Mesos is here under its name, or
//! docs/comparisons.md says by name why there is none.

/// `hierarchical_allocator_tests.cpp`.
const ALLOCATOR: &str = "UnreservedDRF ReservedDRF DRFWithFairnessExclusion NestedRoleDRF \
    SameShareFairness CoarseGrained NoDoubleAccounting UpdateWeight DRFWithQuota \
    DisproportionateQuotaVsAllocation OfferFilter SmallOfferFilterTimeout RemoveFilters \
    ReviveOffers SuppressAndReviveOffers SuppressAndReviveOffersWithMultiRole \
    DeactivateAndReactivateFramework Whitelist DontOfferOldAgentToMultiRoleFramework \
    AddAgentWithUnknownFrameworkAndMaintenance MaintenanceInverseOffers Reservations \
    ReservationUnallocated ReservationAllocated NonQuotaRoleReservationWithQuotaRole \
    OfferAncestorReservationsToDescendantChild NonScalarReservationTracking FrameworkLoop \
    QuotaProvidesGuarantee QuotaProvidesLimit RemoveQuota MultipleFrameworksInRoleWithQuota \
    QuotaAllocationGranularity QuotaAllocationGranularityUnchoppableResource \
    QuotaAllocationMultipleDisk QuotaRoleAllocateNonQuotaResource QuotaAgainstStarvation \
    QuotaAbsentFrameworkWholeAgent MultiQuotaAbsentFrameworks MultiQuotaWithFrameworks \
    ReservationWithinQuota QuotaSetAsideReservedResources QuotaAccountingReserveAllocatedResources \
    QuotaAccountingUnreserveAllocatedResources QuotaHeadroomWhenReservationsExceedQuota \
    QuotaWithAncestorReservations QuotaWithNestedRoleReservation QuotaWithNestedRoleAllocation \
    QuotaHeadroomWithNestedRoleAllocation SharedAllocatedResourceQuotaAccounting RecoverResources \
    Allocatable FrameworkMinAllocatable FrameworkEmptyMinAllocatable UpdateAllocation \
    UpdateAllocationRemoveResources UpdateAllocationSharedPersistentVolume UpdateAvailableSuccess \
    UpdateAvailableFail UpdateSlaveOversubscribedResources UpdateSlaveTotalResources \
    UpdateSlaveCapabilities RemoveSlaveRecoverResources OversubscribedNotAllocated \
    RecoverOversubscribedResources AddResourceProvider AddResourceProviderOverallocated \
    SharedResourcesCapability AllocateSharedResources ResourceMetrics QuotaMetrics \
    ResourceMetricsUninitialized AllocationRunsMetric AllocationRunTimerMetrics \
    AllocationRunLatencyMetrics ActiveOfferFiltersMetrics DominantShareMetrics \
    DominantShareMetricsWithFairnessExclusion";

/// `sorter_tests.cpp`.
const SORTER: &str = "DRF WDRF UpdateWeight AllocationCountTieBreak ShallowHierarchy DeepHierarchy \
    HierarchicalAllocation HierarchicalIterationOrder AddChildToLeaf AddChildToInternal \
    AddChildToInactiveLeaf RemoveLeafCollapseParent RemoveLeafCollapseParentInactive \
    ChangeWeightOnSubtree SplitResourceShares UpdateTotal MultipleSlaves \
    MultipleSlavesUpdateAllocation RevocableResources SharedResources RandomSorter";

const ALLOCATOR_TESTS: [&str; 6] = [
    include_str!("mesos_allocator.rs"),
    include_str!("quota.rs"),
    include_str!("reservations.rs"),
    include_str!("volumes.rs"),
    include_str!("mesos_changes.rs"),
    include_str!("mesos_metrics.rs"),
];

/// `UnreservedDRF` is `unreserved_drf`.
fn snake(name: &str) -> String {
    let all: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, letter) in all.iter().enumerate() {
        let begins = letter.is_uppercase()
            && at > 0
            && (all[at - 1].is_lowercase()
                || all.get(at + 1).is_some_and(|next| next.is_lowercase()));
        if begins {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

fn missing(names: &str, sources: &[&str]) -> Vec<String> {
    let differences = include_str!("../../../../docs/comparisons.md");
    let is_missing = |name: &&str| {
        let function = format!("fn {}()", snake(name));
        let is_told = differences.contains(&format!("`{name}`"));
        !is_told && !sources.iter().any(|source| source.contains(&function))
    };
    names.split_whitespace().filter(is_missing).map(str::to_owned).collect()
}

#[test]
fn names_are_found_as_functions_are_written() {
    assert_eq!(snake("UnreservedDRF"), "unreserved_drf");
    assert_eq!(snake("DRFWithQuota"), "drf_with_quota");
    assert_eq!(snake("WDRF"), "wdrf");
    assert_eq!(missing("NoSuchScenario", &ALLOCATOR_TESTS), ["NoSuchScenario"]);
}

#[test]
fn every_scenario_of_the_allocator_has_its_test() {
    assert_eq!(missing(ALLOCATOR, &ALLOCATOR_TESTS), [""; 0]);
}

#[test]
fn every_scenario_of_the_sorter_has_its_test() {
    assert_eq!(missing(SORTER, &[include_str!("mesos_sorter.rs")]), [""; 0]);
}
