/*
 * standin.c - stands in for wskrdma.sys: a device of its name that answers the library's request with five functions
 * and a provider that can do no more than create and close sockets.
 *
 * STANDIN_IS_FOREIGN makes it a device that knows nothing of the request and succeeds at everything.
 *
 * DWORD values in its service's registry key, written by the unload routine:
 *
 *   Failures       things that must not happen: a request from user mode, a block that is not zero, a call while the
 *                  device is not open
 *   Registrations  successful calls of its WskRegister
 *   Left           registrations, captures, sockets and opens that were not given back
 */
#include "wsk.h"

#ifdef STANDIN_IS_FOREIGN
#define FOREIGN TRUE
#else
#define FOREIGN FALSE
#endif

#define IOCTL_INTERNAL_WSKRDMA_PROVIDER CTL_CODE(FILE_DEVICE_NETWORK, 0x900, METHOD_BUFFERED, FILE_ANY_ACCESS)

typedef struct _WSKRDMA_PROVIDER_REQUEST {
    USHORT Length;
    USHORT LowestVersion;
    USHORT HighestVersion;
    USHORT Reserved;
    NTSTATUS(NTAPI *WskRegister)(PWSK_CLIENT_NPI, PWSK_REGISTRATION);
    VOID(NTAPI *WskDeregister)(PWSK_REGISTRATION);
    NTSTATUS(NTAPI *WskCaptureProviderNPI)(PWSK_REGISTRATION, ULONG, PWSK_PROVIDER_NPI);
    VOID(NTAPI *WskReleaseProviderNPI)(PWSK_REGISTRATION);
    NTSTATUS(NTAPI *WskQueryProviderCharacteristics)(PWSK_REGISTRATION, PWSK_PROVIDER_CHARACTERISTICS);
} WSKRDMA_PROVIDER_REQUEST;
C_ASSERT(sizeof(WSKRDMA_PROVIDER_REQUEST) == 48);

static PDEVICE_OBJECT TheDevice;
static WCHAR KeyName[512];
static LONG Failures, Registrations, Registered, Captured, Sockets, Opens;

static void Require(const char *What, BOOLEAN Holds)
{
    if (!Holds) {
        DbgPrint("standin: violated: %s\n", What);
        InterlockedIncrement(&Failures);
    }
}

static void Report(PCWSTR Name, ULONG Value)
{
    UNICODE_STRING KeyPath, ValueName;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Key;

    RtlInitUnicodeString(&KeyPath, KeyName);
    RtlInitUnicodeString(&ValueName, Name);
    InitializeObjectAttributes(&Attributes, &KeyPath, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, NULL, NULL);
    if (NT_SUCCESS(ZwOpenKey(&Key, KEY_SET_VALUE, &Attributes))) {
        ZwSetValueKey(Key, &ValueName, 0, REG_DWORD, &Value, sizeof(Value));
        ZwClose(Key);
    }
}

/* The IRP of a WSK request: enter the client's stack location, then complete. */
static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    IoSetNextIrpStackLocation(Irp);
    IoMarkIrpPending(Irp);
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI CloseSocket(PWSK_SOCKET Socket, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Socket);
    InterlockedDecrement(&Sockets);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

static const WSK_PROVIDER_BASIC_DISPATCH SocketDispatch = {NULL, CloseSocket};
static WSK_SOCKET TheSocket = {&SocketDispatch};

static NTSTATUS NTAPI CreateSocket(PWSK_CLIENT Client, USHORT AddressFamily, USHORT SocketType, ULONG Protocol,
                                   ULONG Flags, PVOID SocketContext, const VOID *Dispatch, PVOID OwningProcess,
                                   PVOID OwningThread, PVOID SecurityDescriptor, PIRP Irp)
{
    UNREFERENCED_PARAMETER(AddressFamily);
    UNREFERENCED_PARAMETER(SocketType);
    UNREFERENCED_PARAMETER(Protocol);
    UNREFERENCED_PARAMETER(SocketContext);
    UNREFERENCED_PARAMETER(Dispatch);
    UNREFERENCED_PARAMETER(OwningProcess);
    UNREFERENCED_PARAMETER(OwningThread);
    UNREFERENCED_PARAMETER(SecurityDescriptor);
    Require("the client is the one that was captured", Client == (PWSK_CLIENT)&TheDevice);
    Require("a connection socket is asked for", Flags == WSK_FLAG_CONNECTION_SOCKET);
    InterlockedIncrement(&Sockets);
    return Complete(Irp, STATUS_SUCCESS, (ULONG_PTR)&TheSocket);
}

static const WSK_PROVIDER_DISPATCH ProviderDispatch = {
    .Version = MAKE_WSK_VERSION(1, 7),
    .WskSocket = CreateSocket,
};

static NTSTATUS NTAPI Register(PWSK_CLIENT_NPI Npi, PWSK_REGISTRATION Registration)
{
    Require("the device is open", Opens > 0);
    Require("the client's version arrives", Npi->Dispatch->Version == MAKE_WSK_VERSION(1, 0));
    Require("the block is zero", Registration->ReservedRegistrationState == 0 &&
                                     Registration->ReservedRegistrationContext == NULL &&
                                     Registration->ReservedRegistrationLock == 0);
    RtlFillMemory(Registration, sizeof(*Registration), 0xEE);
    InterlockedIncrement(&Registrations);
    InterlockedIncrement(&Registered);
    return STATUS_SUCCESS;
}

static void Check(const WSK_REGISTRATION *Registration)
{
    Require("the device is open", Opens > 0);
    Require("the block is as it was left",
            Registration->ReservedRegistrationState == 0xEEEEEEEEEEEEEEEEULL &&
                (ULONG_PTR)Registration->ReservedRegistrationLock == 0xEEEEEEEEEEEEEEEEULL);
}

static VOID NTAPI Deregister(PWSK_REGISTRATION Registration)
{
    Check(Registration);
    InterlockedDecrement(&Registered);
}

static NTSTATUS NTAPI Capture(PWSK_REGISTRATION Registration, ULONG WaitTimeout, PWSK_PROVIDER_NPI Npi)
{
    UNREFERENCED_PARAMETER(WaitTimeout);
    Check(Registration);
    InterlockedIncrement(&Captured);
    Npi->Client = (PWSK_CLIENT)&TheDevice;
    Npi->Dispatch = &ProviderDispatch;
    return STATUS_SUCCESS;
}

static VOID NTAPI Release(PWSK_REGISTRATION Registration)
{
    Check(Registration);
    InterlockedDecrement(&Captured);
}

static NTSTATUS NTAPI Query(PWSK_REGISTRATION Registration, PWSK_PROVIDER_CHARACTERISTICS Characteristics)
{
    Check(Registration);
    Characteristics->HighestVersion = MAKE_WSK_VERSION(1, 9);
    Characteristics->LowestVersion = MAKE_WSK_VERSION(1, 0);
    return STATUS_SUCCESS;
}

static NTSTATUS Answer(PIRP Irp, PIO_STACK_LOCATION Stack)
{
    WSKRDMA_PROVIDER_REQUEST *Request = Irp->AssociatedIrp.SystemBuffer;

    Require("the request is the kernel's", Irp->RequestorMode == KernelMode);
    Require("the request names its file", Stack->FileObject != NULL);
    if (Stack->Parameters.DeviceIoControl.InputBufferLength < sizeof(*Request) ||
        Stack->Parameters.DeviceIoControl.OutputBufferLength < sizeof(*Request))
        return STATUS_BUFFER_TOO_SMALL;
    Require("the request states its length", Request->Length >= sizeof(*Request));
    if (Request->LowestVersion > 0x0100 || Request->HighestVersion < 0x0100)
        return STATUS_NOINTERFACE;
    Request->Length = sizeof(*Request);
    Request->LowestVersion = 0x0100;
    Request->HighestVersion = 0x0100;
    Request->WskRegister = Register;
    Request->WskDeregister = Deregister;
    Request->WskCaptureProviderNPI = Capture;
    Request->WskReleaseProviderNPI = Release;
    Request->WskQueryProviderCharacteristics = Query;
    Irp->IoStatus.Information = sizeof(*Request);
    return STATUS_SUCCESS;
}

static NTSTATUS NTAPI Dispatch(PDEVICE_OBJECT Device, PIRP Irp)
{
    PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
    NTSTATUS Status = STATUS_INVALID_DEVICE_REQUEST;

    UNREFERENCED_PARAMETER(Device);
    Irp->IoStatus.Information = 0;
    switch (Stack->MajorFunction) {
    case IRP_MJ_CREATE:
        InterlockedIncrement(&Opens);
        Status = STATUS_SUCCESS;
        break;
    case IRP_MJ_CLOSE:
        InterlockedDecrement(&Opens);
        Status = STATUS_SUCCESS;
        break;
    case IRP_MJ_CLEANUP:
        Status = STATUS_SUCCESS;
        break;
    case IRP_MJ_INTERNAL_DEVICE_CONTROL:
        if (FOREIGN)
            Status = STATUS_SUCCESS;
        else if (Stack->Parameters.DeviceIoControl.IoControlCode == IOCTL_INTERNAL_WSKRDMA_PROVIDER)
            Status = Answer(Irp, Stack);
        break;
    }
    Irp->IoStatus.Status = Status;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
    Report(L"Failures", Failures);
    Report(L"Registrations", Registrations);
    Report(L"Left", Registered + Captured + Sockets + Opens);
    DbgPrint("standin: %d registrations, %d failures; left: %d registrations, %d captures, %d sockets, %d opens\n",
             Registrations, Failures, Registered, Captured, Sockets, Opens);
    IoDeleteDevice(TheDevice);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNICODE_STRING Name;
    NTSTATUS Status;
    ULONG Major;

    if (RegistryPath->Length >= sizeof(KeyName))
        return STATUS_BUFFER_TOO_SMALL;
    RtlCopyMemory(KeyName, RegistryPath->Buffer, RegistryPath->Length);
    for (Major = 0; Major <= IRP_MJ_MAXIMUM_FUNCTION; Major++)
        Driver->MajorFunction[Major] = Dispatch;
    Driver->DriverUnload = Unload;
    RtlInitUnicodeString(&Name, L"\\Device\\wskrdma");
    Status = IoCreateDevice(Driver, 0, &Name, FILE_DEVICE_NETWORK, FILE_DEVICE_SECURE_OPEN, FALSE, &TheDevice);
    if (NT_SUCCESS(Status))
        TheDevice->Flags &= ~DO_DEVICE_INITIALIZING;
    return Status;
}
